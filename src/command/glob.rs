//! Glob patterns as Redis reads them: `*`, `?`, `[abc]`, `[^a]`, `[a-z]` and `\` before a byte meant literally.
//!
//! The obvious matcher calls itself at every `*`, and `*a*a*a*a*b` then takes exponential time, from a pattern that
//! any client may send. Here only the newest `*` is ever retried: if what follows it can be matched later, an earlier
//! `*` had no need to take more. So time is at most the product of both lengths, in constant memory.
//!
//! Redis' habits with broken patterns are kept: a class without its `]` ends with the pattern, `[]` matches nothing
//! and `[^]` any byte, a lone `\` at the end is itself. One habit is not: a row of stars matches an empty text here.

/// Whether letters of the ASCII alphabet match their other case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    /// `a` is not `A`: keys.
    Sensitive,
    /// `a` is `A`: names of commands and settings.
    Insensitive,
}

impl Case {
    /// The form in which two bytes are compared.
    fn fold(self, byte: u8) -> u8 {
        match self {
            Self::Sensitive => byte,
            Self::Insensitive => byte.to_ascii_lowercase(),
        }
    }
}

/// Whether `pattern` matches the whole of `text`.
///
/// ```
/// use ringkv::command::glob::{Case, matches};
/// assert!(matches(b"user:[0-9]*", b"user:17", Case::Sensitive));
/// assert!(!matches(b"user:[^0-9]*", b"user:17", Case::Sensitive));
/// ```
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let (mut rest, mut at) = (pattern, 0);
    // What follows the newest star, and where in the text it was last tried.
    let mut retry: Option<(&[u8], usize)> = None;
    loop {
        if let [b'*', after @ ..] = rest {
            (rest, retry) = (after, Some((after, at)));
        } else if let Some(after) = step(rest, text, at, case) {
            (rest, at) = (after, at + 1);
        } else if rest.is_empty() && at == text.len() {
            return true;
        } else {
            match retry {
                Some((after, tried)) if tried < text.len() => {
                    (rest, at, retry) = (after, tried + 1, Some((after, tried + 1)));
                }
                _ => return false,
            }
        }
    }
}

/// What remains of `pattern` once its first element has matched the byte of `text` at `at`; `None` if it does not, or
/// one of the two has ended.
fn step<'a>(pattern: &'a [u8], text: &[u8], at: usize, case: Case) -> Option<&'a [u8]> {
    let byte = *text.get(at)?;
    let (matched, rest) = match pattern {
        [] => return None,
        [b'?', rest @ ..] => (true, rest),
        [b'[', b'^', class @ ..] => {
            let (found, rest) = class_contains(class, byte, case);
            (!found, rest)
        }
        [b'[', class @ ..] => class_contains(class, byte, case),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (case.fold(*literal) == case.fold(byte), rest),
    };
    matched.then_some(rest)
}

/// Whether `byte` is in the class that `pattern` begins with (its bracket is already taken), and the pattern after it.
fn class_contains(mut pattern: &[u8], byte: u8, case: Case) -> (bool, &[u8]) {
    let folded = case.fold(byte);
    let mut found = false;
    loop {
        let (member, rest) = match pattern {
            [] => return (found, pattern),
            // Redis compares an escaped member without regard to the case option.
            [b'\\', literal, rest @ ..] => (*literal == byte, rest),
            [b']', rest @ ..] => return (found, rest),
            [a, b'-', b, rest @ ..] => {
                // Put in order before folding, as Redis does: `[H-f]` is empty, `[h-F]` is f to h.
                let (low, high) = (case.fold(*a.min(b)), case.fold(*a.max(b)));
                ((low..=high).contains(&folded), rest)
            }
            [literal, rest @ ..] => (case.fold(*literal) == folded, rest),
        };
        found |= member;
        pattern = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The obvious matcher: at a star it tries every remainder of the text.
    fn naive(pattern: &[u8], text: &[u8], case: Case) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            ([b'*', after @ ..], _) => (0..=text.len()).any(|skipped| naive(after, &text[skipped..], case)),
            (_, []) => false,
            ([b'[', class @ ..], [byte, text @ ..]) => {
                let (wanted, class) = class.strip_prefix(b"^").map_or((true, class), |class| (false, class));
                let (members, after) = naive_class(class);
                members.iter().any(|&(low, high, folds)| naive_member(low, high, folds, *byte, case)) == wanted
                    && naive(after, text, case)
            }
            ([b'?', after @ ..], [_, text @ ..]) => naive(after, text, case),
            ([b'\\', a, after @ ..] | [a, after @ ..], [b, text @ ..]) => {
                naive_member(*a, *a, true, *b, case) && naive(after, text, case)
            }
        }
    }

    fn naive_member(low: u8, high: u8, folds: bool, byte: u8, case: Case) -> bool {
        if folds && case == Case::Insensitive {
            low.to_ascii_lowercase() <= byte.to_ascii_lowercase()
                && byte.to_ascii_lowercase() <= high.to_ascii_lowercase()
        } else {
            low <= byte && byte <= high
        }
    }

    /// The class' members as ranges, each with whether it minds the case option, and what follows the class.
    fn naive_class(class: &[u8]) -> (Vec<(u8, u8, bool)>, &[u8]) {
        let (mut members, mut index) = (Vec::new(), 0);
        while index < class.len() {
            match &class[index..] {
                [b'\\', literal, ..] => {
                    members.push((*literal, *literal, false));
                    index += 2;
                }
                [b']', after @ ..] => return (members, after),
                [a, b'-', b, ..] => {
                    members.push((*a.min(b), *a.max(b), true));
                    index += 3;
                }
                literal => {
                    members.push((literal[0], literal[0], true));
                    index += 1;
                }
            }
        }
        (members, &[])
    }

    /// The texts among `texts` that `pattern` matches.
    fn matched<'a>(pattern: &str, texts: &[&'a str], case: Case) -> Vec<&'a str> {
        texts.iter().copied().filter(|text| matches(pattern.as_bytes(), text.as_bytes(), case)).collect()
    }

    #[test]
    fn broken_and_odd_patterns_match_what_redis_matches() {
        // Read off KEYS of redis-server 7.0.15.
        let texts = ["-", "A", "[", "\\", "]", "^", "_", "a", "a-", "ab", "abc", "b"];
        let expected: [(&str, &[&str]); 16] = [
            ("[", &[]),
            ("[]", &[]),
            ("[^", &["-", "A", "[", "\\", "]", "^", "_", "a", "b"]),
            ("[^]", &["-", "A", "[", "\\", "]", "^", "_", "a", "b"]),
            ("[a-]", &["]", "^", "_", "a"]),
            ("[a-", &["-", "a"]),
            ("[a-c", &["a", "b"]),
            ("[b-a]", &["a", "b"]),
            ("[\\]]", &["]"]),
            ("[\\", &["\\"]),
            ("\\", &["\\"]),
            ("[a-\\b]", &["\\", "]", "^", "_", "a", "b"]),
            ("[\\a-b]", &["-", "a", "b"]),
            ("[a\\-c]", &["-", "a"]),
            ("[]-a]", &[]),
            ("[!a]", &["a"]),
        ];
        for (pattern, found) in expected {
            assert_eq!(matched(pattern, &texts, Case::Sensitive), found, "{pattern}");
        }
    }

    #[test]
    fn case_is_ignored_where_redis_ignores_it() {
        // Read off COMMAND LIST FILTERBY PATTERN of redis-server 7.0.15.
        for pattern in ["GET", "\\Get", "[G]et", "[G-G]et", "[h-F]et", "[z-_]et"] {
            assert!(matches(pattern.as_bytes(), b"get", Case::Insensitive), "{pattern}");
        }
        for pattern in ["[\\G]et", "[f-H]et", "[H-f]et", "[^G]et", "[Z-_]et"] {
            assert!(!matches(pattern.as_bytes(), b"get", Case::Insensitive), "{pattern}");
        }
        assert!(!matches(b"GET", b"get", Case::Sensitive));
    }

    #[test]
    fn stars_match_any_text_even_an_empty_one() {
        for pattern in ["*", "**"] {
            assert_eq!(matched(pattern, &["", "a", "\\["], Case::Sensitive), ["", "a", "\\["], "{pattern}");
        }
        assert_eq!(matched("", &["", "a"], Case::Sensitive), [""]);
        assert_eq!(matched("a*b*c", &["abc", "aXbXbc", "abcX", "ac"], Case::Sensitive), ["abc", "aXbXbc"]);
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        // Given a pattern that a recursive matcher would be busy with for longer than the universe is old.
        let pattern = [b"*a".repeat(64), b"*b".to_vec()].concat();
        let text = b"a".repeat(4096);
        // When it is matched, then the answer comes within this test's life.
        assert!(!matches(&pattern, &text, Case::Sensitive));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn agrees_with_the_naive_twin(pattern in r"[abABC*?\[\]\\^-]{0,9}", text in r"[abABC\]\\-]{0,7}") {
            for case in [Case::Sensitive, Case::Insensitive] {
                let expected = naive(pattern.as_bytes(), text.as_bytes(), case);
                prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes(), case), expected);
            }
        }

        #[test]
        fn an_escaped_text_matches_itself_alone(text: Vec<u8>, other: Vec<u8>) {
            let pattern: Vec<u8> = text.iter().flat_map(|&byte| [b'\\', byte]).collect();
            prop_assert!(matches(&pattern, &text, Case::Sensitive));
            prop_assert_eq!(matches(&pattern, &other, Case::Sensitive), text == other);
        }
    }
}
