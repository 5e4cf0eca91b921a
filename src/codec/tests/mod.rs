//! The codec against raw bytes, against redis-protocol as its twin, and against hostile senders.

mod growth;
mod inline;
mod reply;
mod reply_decoder;
mod request;
mod twin;

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use super::{DecodeLimits, ReplyDecoder, ReplyFrame, RequestDecoder};

/// Everything a decoder made of its input: the frames before the error, and the error's words.
type Decoded<T> = (Vec<T>, Option<String>);

/// Decodes what arrives in `pieces`, each piece as far as it goes.
fn decode_pieces<'a, D: Decoder>(decoder: &mut D, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded<D::Item>
where
    D::Error: ToString,
{
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    (frames, None)
}

/// The arguments of each request in `pieces`.
fn requests<'a>(limits: DecodeLimits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded<Vec<Vec<u8>>> {
    let (requests, error) = decode_pieces(&mut RequestDecoder::new(limits), pieces);
    let arguments = requests.iter().map(|request| request.first().args().map(<[u8]>::to_vec).collect());
    (arguments.collect(), error)
}

/// The arguments of each request in `input`, which arrives whole.
fn requests_in(input: &[u8]) -> Decoded<Vec<Vec<u8>>> {
    requests(DecodeLimits::default(), [input])
}

/// The error that `input` ends with, after no request at all.
fn request_error(input: &[u8]) -> String {
    let (requests, error) = requests_in(input);
    assert_eq!(requests, Vec::<Vec<Vec<u8>>>::new(), "a request before the error");
    error.unwrap_or_else(|| "no error".to_owned())
}

/// The answers in `pieces`.
fn replies<'a>(limits: DecodeLimits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded<ReplyFrame> {
    decode_pieces(&mut ReplyDecoder::new(limits), pieces)
}

/// The arguments as owned bytes, to compare with.
fn words(arguments: &[&str]) -> Vec<Vec<u8>> {
    arguments.iter().map(|argument| argument.as_bytes().to_vec()).collect()
}

/// `input` cut at each of `cuts`, taken modulo what is possible.
fn cut<'a>(input: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).chain([0, input.len()]).collect();
    at.sort_unstable();
    at.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}
