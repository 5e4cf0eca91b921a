//! The text of the cases.
//!
//! ```text
//! # A comment, or a heading.
//! SET k v | SET k w NX | GET k
//! SET k v EX 100 | ~TTL k
//! MSETNX a 1 b 2
//!   differs: -CROSSSLOT Keys in request don't hash to the same slot
//!   because: keys of different slots cannot be written in one step
//! ```
//!
//! A line is a case: commands, one after the other, that begin with no key at all. Words are separated by spaces. A word in
//! quotes may hold anything (`\n`, `\r`, `\t`, `\\`, `\"`, `\x00`), also together with bare text; `<5000*ab>` is `ab`, 5000 times.
//!
//! Each reply has to be redis-server's, byte for byte. A sign in front of a command softens that:
//! * `~`: numbers may be a little apart, such as a time to live.
//! * `?`: only the kind of the reply counts, such as for the id of a client.
//! * `%`: members of arrays, sets and maps may come in any order, and a set may be an array; a SCAN is repeated from its cursor to the end, and the keys
//!   of all replies are compared, each of which may come only once from ringkv.
//!
//! `!raw BYTES` sends bytes as they are and compares all that comes until the next command is answered, or the end of the connection.
//! `!gone KEY` waits until both say that there is no such key (for what expires).
//!
//! Where ringkv differs on purpose, its own reply stands below: `differs` means the last command, `differs 2` the second. It may be
//! limited to `resp2` or `resp3`, and to `alone` (a single node) or `cluster`. A reply is a bare line, whose end is added, or bytes in
//! quotes. `because` says why, and is compulsory. A reply that no longer differs is an error as well.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// How replies are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Match {
    Exact,
    Near,
    Kind,
    AnyOrder,
}

/// One step of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    Command { words: Vec<Vec<u8>>, matching: Match },
    Raw(Vec<u8>),
    Gone(Vec<u8>),
}

/// Where ringkv differs.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    /// The step, counted from 0.
    step: usize,
    /// `resp2`, `resp3`, `alone`, `cluster`: all that are named must hold.
    only: Vec<String>,
    pub(crate) reply: Vec<u8>,
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) place: String,
    pub(crate) text: String,
    pub(crate) steps: Vec<Step>,
    differences: Vec<Difference>,
    because: Option<String>,
}

impl Case {
    /// What ringkv answers at this step in place of redis-server's reply, in these circumstances.
    pub(crate) fn difference(&self, step: usize, circumstances: &[&str]) -> Option<&Difference> {
        let applies = |difference: &&Difference| {
            difference.step == step && difference.only.iter().all(|only| circumstances.contains(&only.as_str()))
        };
        self.differences.iter().find(applies)
    }

    /// Whether ringkv differs anywhere in it.
    pub(crate) fn has_differences(&self) -> bool {
        !self.differences.is_empty()
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.text)
    }
}

/// All cases of a file; what is wrong with it is said with its line.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let place = format!("{file}:{number}");
        let failed = |what: &str| format!("{place}: {what}");
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(note) = line.strip_prefix("  ") {
            let case = cases.last_mut().ok_or_else(|| failed("no case above"))?;
            add_note(case, note).map_err(|what| failed(&what))?;
        } else {
            let steps = words(line).and_then(|words| steps(&words)).map_err(|what| failed(&what))?;
            let text = line.to_owned();
            cases.push(Case { place, text, steps, differences: Vec::new(), because: None });
        }
    }
    match cases.iter().find(|case| case.because.is_some() == case.differences.is_empty()) {
        Some(case) => Err(format!("{}: a difference has a reply and a reason", case.place)),
        None => Ok(cases),
    }
}

fn add_note(case: &mut Case, note: &str) -> Result<(), String> {
    let (head, rest) = note.split_once(": ").ok_or("neither `differs: ...` nor `because: ...`")?;
    if head == "because" {
        case.because = Some(rest.to_owned());
        return Ok(());
    }
    let mut head = head.split(' ').peekable();
    if head.next() != Some("differs") {
        return Err("neither `differs` nor `because`".to_owned());
    }
    let position = head.peek().and_then(|word| word.parse::<usize>().ok());
    let step = position.unwrap_or(case.steps.len());
    if position.is_some() {
        head.next();
    }
    if step == 0 || step > case.steps.len() {
        return Err(format!("there is no command {step}"));
    }
    let only: Vec<String> = head.map(str::to_owned).collect();
    if let Some(word) = only.iter().find(|word| !["resp2", "resp3", "alone", "cluster"].contains(&word.as_str())) {
        return Err(format!("differs where: {word}?"));
    }
    case.differences.push(Difference { step: step - 1, only, reply: reply(rest)? });
    Ok(())
}

fn reply(text: &str) -> Result<Vec<u8>, String> {
    if !text.starts_with('"') {
        return Ok(format!("{text}\r\n").into_bytes());
    }
    match words(text)?.as_slice() {
        [word] => Ok(word.bytes.clone()),
        _ => Err("a reply is a line, or bytes in quotes".to_owned()),
    }
}

/// A word, and whether it is bare: only then may it have a meaning to the suite.
struct Word {
    bytes: Vec<u8>,
    is_bare: bool,
}

impl Word {
    fn is(&self, text: &str) -> bool {
        self.is_bare && self.bytes == text.as_bytes()
    }
}

fn steps(words: &[Word]) -> Result<Vec<Step>, String> {
    words.split(|word| word.is("|")).map(step).collect()
}

fn step(words: &[Word]) -> Result<Step, String> {
    let first = words.first().ok_or("an empty command")?;
    if first.is("!raw") || first.is("!gone") {
        let [_, only] = words else { return Err("takes one word".to_owned()) };
        let bytes = only.bytes.clone();
        return Ok(if first.is("!raw") { Step::Raw(bytes) } else { Step::Gone(bytes) });
    }
    let mut words: Vec<Vec<u8>> = words.iter().map(|word| word.bytes.clone()).collect();
    let matching = match first.bytes.first() {
        Some(b'~') if first.is_bare => Match::Near,
        Some(b'?') if first.is_bare => Match::Kind,
        Some(b'%') if first.is_bare => Match::AnyOrder,
        _ => Match::Exact,
    };
    if matching != Match::Exact {
        words[0].remove(0);
    }
    Ok(Step::Command { words, matching })
}

fn words(line: &str) -> Result<Vec<Word>, String> {
    let mut signs = line.chars().peekable();
    let mut words = Vec::new();
    loop {
        while signs.next_if_eq(&' ').is_some() {}
        if signs.peek().is_none() {
            return Ok(words);
        }
        words.push(word(&mut signs)?);
    }
}

fn word(signs: &mut Peekable<Chars<'_>>) -> Result<Word, String> {
    let mut word = Word { bytes: Vec::new(), is_bare: true };
    while let Some(sign) = signs.next_if(|sign| *sign != ' ') {
        match sign {
            '"' => {
                word.is_bare = false;
                quoted(signs, &mut word.bytes)?;
            }
            '<' => {
                word.is_bare = false;
                repeated(signs, &mut word.bytes)?;
            }
            _ => word.bytes.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(word)
}

fn quoted(signs: &mut Peekable<Chars<'_>>, bytes: &mut Vec<u8>) -> Result<(), String> {
    loop {
        match signs.next().ok_or("a quote without an end")? {
            '"' => return Ok(()),
            '\\' => bytes.push(escaped(signs)?),
            sign => bytes.extend_from_slice(sign.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

fn escaped(signs: &mut Peekable<Chars<'_>>) -> Result<u8, String> {
    match signs.next() {
        Some('n') => Ok(b'\n'),
        Some('r') => Ok(b'\r'),
        Some('t') => Ok(b'\t'),
        Some(sign @ ('\\' | '"')) => Ok(u8::try_from(sign).expect("it is ASCII")),
        Some('x') => {
            let digits: String = signs.by_ref().take(2).collect();
            u8::from_str_radix(&digits, 16).map_err(|_| format!("\\x{digits}?"))
        }
        other => Err(format!("\\{}?", other.unwrap_or(' '))),
    }
}

fn repeated(signs: &mut Peekable<Chars<'_>>, bytes: &mut Vec<u8>) -> Result<(), String> {
    let inside: String = signs.by_ref().take_while(|sign| *sign != '>').collect();
    let (count, text) = inside.split_once('*').ok_or("in <> stands a count, *, and what is repeated")?;
    let count: usize = count.parse().map_err(|_| format!("no count: {count}"))?;
    bytes.extend(text.as_bytes().repeat(count));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(words: &[&str], matching: Match) -> Step {
        Step::Command { words: words.iter().map(|word| word.as_bytes().to_vec()).collect(), matching }
    }

    #[test]
    fn a_line_is_a_case_of_several_commands() {
        let cases =
            parse("f", "# no case\n\nSET k \"a |\\x00\" | ~TTL k | %KEYS * | ?TIME\nGET <3*ab>c | \"~x\"\n").unwrap();
        assert_eq!(cases.len(), 2);
        assert_eq!(cases[0].place, "f:3");
        let expected = [
            command(&["SET", "k", "a |\0"], Match::Exact),
            command(&["TTL", "k"], Match::Near),
            command(&["KEYS", "*"], Match::AnyOrder),
            command(&["TIME"], Match::Kind),
        ];
        assert_eq!(cases[0].steps, expected);
        let expected = [command(&["GET", "abababc"], Match::Exact), command(&["~x"], Match::Exact)];
        assert_eq!(cases[1].steps, expected);
        assert_eq!(
            parse("f", "!raw \"a\\r\\n\" | !gone k").unwrap()[0].steps,
            [Step::Raw(b"a\r\n".to_vec()), Step::Gone(b"k".to_vec())]
        );
    }

    #[test]
    fn a_difference_is_found_where_it_holds() {
        let text = "A | B\n  differs: -ERR no\n  differs 1 resp3 alone: \"_\\r\\n\"\n  because: it does\n";
        let case = &parse("f", text).unwrap()[0];
        assert_eq!(case.difference(1, &["resp2", "cluster"]).unwrap().reply, b"-ERR no\r\n");
        assert_eq!(case.difference(0, &["resp3", "alone"]).unwrap().reply, b"_\r\n");
        assert!(case.difference(0, &["resp2", "alone"]).is_none());
        assert!(case.difference(0, &["resp3", "cluster"]).is_none());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, what) in [
            ("  differs: x", "f:1: no case above"),
            ("A\n  differs: x", "f:1: a difference has a reply and a reason"),
            ("A\n  because: x", "f:1: a difference has a reply and a reason"),
            ("A\n  differs 2: x", "f:2: there is no command 2"),
            ("A\n  differs here: x", "f:2: differs where: here?"),
            ("A\n  word", "f:2: neither `differs: ...` nor `because: ...`"),
            ("A \"b", "f:1: a quote without an end"),
            ("A | | B", "f:1: an empty command"),
            ("A \"\\q\"", "f:1: \\q?"),
            ("!raw a b", "f:1: takes one word"),
        ] {
            assert_eq!(parse("f", text).unwrap_err(), what, "{text}");
        }
    }
}
