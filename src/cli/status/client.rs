//! Asks nodes for their INFO, all at once, so that those that hang cost one timeout together.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::codec::Decoder;

use super::report::Report;
use crate::codec::{DecodeLimits, ReplyDecoder, ReplyFrame, reply};
use crate::config::{NODES_MAX, Secret};

/// INFO ring convergence.
const REQUEST: &[u8] = b"*3\r\n$4\r\nINFO\r\n$4\r\nring\r\n$11\r\nconvergence\r\n";
/// No answer is longer: a line of some hundred bytes for each of a thousand nodes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// What was heard, by address.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) reports: BTreeMap<String, Report>,
    /// Why a node did not answer.
    pub(super) silent: BTreeMap<String, String>,
}

/// Asks `seeds`, and then everybody of whom they know.
pub(super) async fn survey(seeds: &[String], password: Option<&Secret>, timeout: Duration) -> Survey {
    let mut survey = Survey::default();
    survey.ask(seeds.to_vec(), password, timeout).await;
    survey.ask(survey.unasked(), password, timeout).await;
    survey
}

impl Survey {
    /// The addresses of nodes that are known by others alone; no cluster has more than so many.
    fn unasked(&self) -> Vec<String> {
        let mut known: Vec<&String> =
            self.reports.values().flat_map(|report| report.peers.values()).map(|peer| &peer.address).collect();
        known.sort_unstable();
        known.dedup();
        let heard: Vec<&str> = self.reports.values().map(|report| report.id.as_str()).collect();
        // A node may be reached by another address than the one that the others use.
        let by_id = |address: &&String| {
            let views = self.reports.values().flat_map(|report| &report.peers);
            !views.into_iter().any(|(id, peer)| peer.address == **address && heard.contains(&id.as_str()))
        };
        let unasked = known.into_iter().filter(|address| !self.silent.contains_key(*address)).filter(by_id);
        unasked.take(NODES_MAX).cloned().collect()
    }

    async fn ask(&mut self, addresses: Vec<String>, password: Option<&Secret>, timeout: Duration) {
        let mut tasks = JoinSet::new();
        for address in addresses {
            let password = password.cloned();
            tasks.spawn(async move {
                let answer = tokio::time::timeout(timeout, info(&address, password.as_ref())).await;
                let answer = answer.unwrap_or_else(|_| Err(format!("no answer within {} ms", timeout.as_millis())));
                (address, answer.and_then(|text| Report::parse(&text)))
            });
        }
        while let Some(joined) = tasks.join_next().await {
            match joined {
                // One node may have been asked by two addresses, and has one voice.
                Ok((_, Ok(report))) if self.reports.values().any(|known| known.id == report.id) => {}
                Ok((address, Ok(report))) => drop(self.reports.insert(address, report)),
                Ok((address, Err(reason))) => drop(self.silent.insert(address, reason)),
                // A task that panicked heard nothing.
                Err(_) => {}
            }
        }
    }
}

/// The INFO of the node at `address`.
async fn info(address: &str, password: Option<&Secret>) -> Result<String, String> {
    let frame = exchange(address, password).await.map_err(|error| error.to_string())?;
    match frame {
        ReplyFrame::Bulk(text) => Ok(String::from_utf8_lossy(&text).into_owned()),
        ReplyFrame::Error(words) => Err(String::from_utf8_lossy(&words).into_owned()),
        ReplyFrame::Simple(_) | ReplyFrame::Integer(_) | ReplyFrame::Null | ReplyFrame::Array(_) => {
            Err("something else than INFO's text came back".to_owned())
        }
    }
}

/// The reply to INFO, or to AUTH if that is refused. A node without a password needs none, so that refusal is passed over.
async fn exchange(address: &str, password: Option<&Secret>) -> io::Result<ReplyFrame> {
    let mut stream = TcpStream::connect(address).await?;
    let mut request = Vec::new();
    if let Some(password) = password {
        reply::array(&mut request, 2);
        reply::bulk(&mut request, b"AUTH");
        reply::bulk(&mut request, password.reveal().as_bytes());
    }
    request.extend_from_slice(REQUEST);
    stream.write_all(&request).await?;
    let mut awaits_welcome = password.is_some();
    let mut decoder = ReplyDecoder::new(DecodeLimits {
        bulk_bytes_max: ANSWER_BYTES_MAX,
        frame_bytes_max: ANSWER_BYTES_MAX,
        ..DecodeLimits::default()
    });
    let mut buffer = BytesMut::new();
    loop {
        if let Some(frame) = decoder.decode(&mut buffer).map_err(io::Error::other)? {
            let is_wrong = matches!(&frame, ReplyFrame::Error(words) if words.starts_with(b"WRONGPASS"));
            if !std::mem::take(&mut awaits_welcome) || is_wrong {
                return Ok(frame);
            }
            continue;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before the answer"));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A listener that answers each connection with these bytes.
    async fn server(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; REQUEST.len()];
                stream.read_exact(&mut request).await.unwrap();
                assert_eq!(request, REQUEST);
                stream.write_all(answer).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn whoever_is_no_node_is_told_by_the_reason() {
        for (answer, reason) in [
            (b"-NOAUTH Authentication required.\r\n".as_slice(), "NOAUTH Authentication required."),
            (b":1\r\n", "something else than INFO's text came back"),
            (b"$5\r\nhello\r\n", "no node of ringkv answers there"),
            (b"$99999999\r\n", "invalid bulk length"),
            (b"$5\r\nhel", "closed before the answer"),
        ] {
            let address = server(answer).await;
            let survey = survey(std::slice::from_ref(&address), None, Duration::from_secs(10)).await;
            assert!(survey.silent[&address].contains(reason), "{survey:?}");
            assert!(survey.reports.is_empty());
        }
    }

    #[tokio::test]
    async fn a_node_that_is_asked_by_two_addresses_has_one_voice() {
        let answer = b"$9\r\nnode_id:a\r\n".as_slice();
        let addresses = [server(answer).await, server(answer).await];
        let survey = survey(&addresses, None, Duration::from_secs(10)).await;
        assert_eq!((survey.reports.len(), survey.silent.len()), (1, 0));
    }

    #[tokio::test]
    async fn nodes_that_hang_cost_one_timeout_together() {
        let listeners =
            [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap().to_string());
        let begun = tokio::time::Instant::now();
        let survey = survey(&addresses, None, Duration::from_millis(100)).await;
        assert!(begun.elapsed() >= Duration::from_millis(100));
        assert_eq!(survey.silent[&addresses[1]], "no answer within 100 ms");
        assert_eq!(survey.silent.len(), 2);
    }
}
