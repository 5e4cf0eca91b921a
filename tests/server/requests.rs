//! What a client says: torn, pipelined, inline, broken or nonsense. Each gets its answer, in its place.

use std::io::Read;
use std::net::Shutdown;

use super::*;

#[test]
fn requests_torn_at_any_byte_are_answered_alike() {
    let cluster = single();
    let mut client = cluster.node(0).client();
    let mut bytes = command(&["SET", "torn key", "a\r\nvalue\0"]);
    bytes.extend_from_slice(b"\r\nSET inline 'one two'\r\n");
    bytes.extend(command(&["MGET", "torn key", "inline", "none"]));
    bytes.extend_from_slice(b"*0\r\n*-1\r\nstrlen inline\n");
    let values = vec![Reply::bulk("a\r\nvalue\0"), Reply::bulk("one two"), Reply::Null];
    let expected = [Reply::ok(), Reply::ok(), Reply::Array(values), Reply::Integer(7)];

    for cut in 0..=bytes.len() {
        // The answer to PING shows that the first part was taken as it is.
        client.send([b"PING\r\n", &bytes[..cut]].concat());
        assert_eq!(client.reply(), Reply::Simple("PONG".to_owned()));
        client.send(&bytes[cut..]);
        for reply in &expected {
            assert_eq!(client.reply(), *reply, "torn at byte {cut}");
        }
    }
    for byte in &bytes {
        client.send([*byte]);
    }
    for reply in &expected {
        assert_eq!(client.reply(), *reply, "sent byte by byte");
    }
}

#[test]
fn ten_thousand_pipelined_commands_are_answered_in_order() {
    let cluster = single();
    let mut client = cluster.node(0).client();
    let numbers: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    let key = |position: usize| format!("key{}", position % 7);

    let pipeline = numbers.iter().enumerate().flat_map(|(position, number)| {
        [command(&["SET", &key(position), number]), command(&["GET", &key(position)])].concat()
    });
    client.send(pipeline.collect::<Vec<u8>>());

    for number in &numbers {
        assert_eq!(client.reply(), Reply::ok());
        assert_eq!(client.reply(), Reply::bulk(number));
    }
}

#[test]
fn inline_commands_and_empty_lines_are_understood() {
    let cluster = single();
    let mut client = cluster.node(0).client();
    client.send(b"\r\n\n  \r\nPING\r\nset \"a\\x00b\" 'c d'\nget \"a\\x00b\"\r\n*0\r\n*-1\r\necho ''\r\n");
    let expected = [Reply::Simple("PONG".to_owned()), Reply::ok(), Reply::bulk("c d"), Reply::bulk("")];
    for reply in expected {
        assert_eq!(client.reply(), reply);
    }
}

#[test]
fn broken_framing_is_named_and_ends_the_connection_alone() {
    let bench = Bench::new();
    let mut bystander = bench.client();
    let endless = |start: &str| format!("{start}{}", "1".repeat(200_000));
    for (bytes, words) in [
        ("*1000000000\r\n".to_owned(), "invalid multibulk length"),
        ("*9999999999999999999\r\n".to_owned(), "invalid multibulk length"),
        ("*abc\r\n".to_owned(), "invalid multibulk length"),
        ("*1\r\n$-5\r\n".to_owned(), "invalid bulk length"),
        ("*1\r\n$600000000\r\n".to_owned(), "invalid bulk length"),
        ("*1\r\n$abc\r\n".to_owned(), "invalid bulk length"),
        ("*1\r\n*1\r\n$4\r\nPING\r\n".to_owned(), "expected '$', got '*'"),
        ("*1\r\n".repeat(10_000), "expected '$', got '*'"),
        ("*2\r\n$4\r\nECHO\r\n:1\r\n".to_owned(), "expected '$', got ':'"),
        (endless("*"), "too big mbulk count string"),
        (endless("*1\r\n$"), "too big bulk count string"),
        (endless("PING "), "too big inline request"),
        ("SET a \"b\r\n".to_owned(), "unbalanced quotes in request"),
    ] {
        let mut client = bench.client();
        // What came before is still answered.
        client.send(b"PING\r\n");
        // The node may close before it has taken everything.
        let _ = client.try_send(bytes.as_bytes());
        let shown = &bytes[..bytes.len().min(40)];
        assert_eq!(client.reply(), Reply::Simple("PONG".to_owned()), "{shown:?}");
        assert_eq!(client.reply(), Reply::Error(format!("ERR Protocol error: {words}")), "{shown:?}");
        assert!(client.is_closed(), "{shown:?}");
        assert_eq!(bystander.ask(&["ECHO", "here"]), Reply::bulk("here"));
    }
    bench.assert_recovers();
}

#[test]
fn binary_rubbish_harms_nobody() {
    let bench = Bench::new();
    for seed in 0..50 {
        let mut client = bench.client();
        let mut rubbish = random_bytes(seed, 100_000);
        // Half of them begin as if they were serious.
        rubbish[0] = if seed % 2 == 0 { b'*' } else { rubbish[0] };
        // The node may close before it has taken everything.
        let _ = client.try_send(&rubbish).and_then(|()| client.stream().shutdown(Shutdown::Write));
        let mut answer = Vec::new();
        // It may also have closed with bytes of ours unread.
        let _ = client.stream().read_to_end(&mut answer);
        assert!(answer.iter().all(u8::is_ascii) || !answer.is_empty(), "seed {seed}");
    }
    bench.assert_recovers();
}

#[test]
fn errors_have_the_words_of_redis_and_the_connection_stays() {
    let cluster = single();
    let mut client = cluster.node(0).client();
    for (words, error) in [
        (&["FOO", "a", "b"][..], "ERR unknown command 'FOO', with args beginning with: 'a' 'b' "),
        (&[""], "ERR unknown command '', with args beginning with: "),
        (&["GET"], "ERR wrong number of arguments for 'get' command"),
        (&["GET", "a", "b"], "ERR wrong number of arguments for 'get' command"),
        (&["MSET", "a"], "ERR wrong number of arguments for 'mset' command"),
        (&["MSET", "a", "b", "c"], "ERR wrong number of arguments for 'mset' command"),
        (&["CLIENT", "SETNAME"], "ERR wrong number of arguments for 'client|setname' command"),
        (&["CLIENT", "FOO"], "ERR unknown subcommand 'FOO'. Try CLIENT HELP."),
        (&["SET", "a", "b", "FOO"], "ERR syntax error"),
        (&["SET", "a", "b", "EX"], "ERR syntax error"),
        (&["SET", "a", "b", "EX", "1", "PX", "1"], "ERR syntax error"),
        (&["SET", "a", "b", "EX", "ten"], "ERR value is not an integer or out of range"),
        (&["SET", "a", "b", "EX", "9223372036854775808"], "ERR value is not an integer or out of range"),
        (&["SET", "a", "b", "EX", "0"], "ERR invalid expire time in 'set' command"),
        (&["SET", "a", "b", "PX", "-1"], "ERR invalid expire time in 'set' command"),
        (&["SELECT", "x"], "ERR value is not an integer or out of range"),
        (&["SELECT", "1"], "ERR DB index is out of range"),
        (&["HELLO", "4"], "NOPROTO unsupported protocol version"),
        (
            &["AUTH", "x"],
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?",
        ),
        (&["FLUSHALL", "FOO"], "ERR syntax error"),
    ] {
        assert_eq!(client.ask(words), Reply::Error(error.to_owned()), "{words:?}");
        assert_eq!(client.ask(&["PING"]), Reply::Simple("PONG".to_owned()), "after {words:?}");
    }
    // In a pipeline each error stands in its place.
    client.send(b"SET a 1\r\nGET\r\nFOO\r\nSET a 2 EX x\r\nGET a\r\n");
    assert_eq!(client.reply(), Reply::ok());
    for _ in 0..3 {
        assert!(client.reply().is_error("ERR "));
    }
    assert_eq!(client.reply(), Reply::bulk("1"));
}

#[test]
fn quit_is_answered_and_ends_the_connection() {
    let cluster = single();
    let mut client = cluster.node(0).client();
    client.send(b"SET a b\r\nQUIT\r\nSET a c\r\n");
    assert_eq!(client.replies_until_end().unwrap(), [Reply::ok(), Reply::ok()]);
    assert_eq!(cluster.node(0).client().ask(&["GET", "a"]), Reply::bulk("b"));
}

#[test]
fn a_client_that_leaves_within_a_request_is_forgotten() {
    let bench = Bench::new();
    for bytes in [&b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$10\r\nabc"[..], b"SET half a", b"*", b"$"] {
        let mut client = bench.client();
        client.send(bytes);
        client.end_sending();
        assert!(client.is_closed());
    }
    assert_eq!(bench.client().ask(&["GET", "half"]), Reply::Null);
    wait_until("one client is left, which asks", || bench.node().info("connected_clients").as_deref() == Some("1"));
}
