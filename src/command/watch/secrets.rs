//! Which words of a request nobody else may see, as in Redis: passwords, and what a password is set to.

use crate::codec::Request;
use crate::command::spec::{CommandId, CommandSpec};

/// What is shown in place of a secret.
pub(crate) const REDACTED: &[u8] = b"(redacted)";

/// Argument `index` of a request for `spec`, or what stands for it. What looks like a secret is hidden even where the
/// request is malformed and Redis would show it.
pub(crate) fn shown<'a>(spec: &CommandSpec, request: &Request<'a>, index: usize) -> &'a [u8] {
    let follows = |distance: usize, is: fn(&[u8]) -> bool| index > distance && is(request.arg(index - distance));
    let is_secret = match spec.id {
        CommandId::Auth => index > 0,
        CommandId::Hello => follows(1, is_auth) || follows(2, is_auth),
        // Settings come in pairs of a name and a value.
        _ if spec.name == "config|set" => index % 2 == 1 && index > 2 && follows(1, names_a_secret),
        _ => false,
    };
    if is_secret { REDACTED } else { request.arg(index) }
}

fn is_auth(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"auth")
}

/// Whether a setting of this name is one: `requirepass`, `masterauth`, `secret`.
fn names_a_secret(setting: &[u8]) -> bool {
    let setting = setting.to_ascii_lowercase();
    [&b"pass"[..], b"auth", b"secret"].iter().any(|part| memchr::memmem::find(&setting, part).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::table;
    use crate::command::testing::request;

    fn shown_words(line: &str) -> String {
        let requests = request(line);
        let request = requests.first();
        let spec = table::resolve(request.args()).unwrap();
        let words = (0..request.len()).map(|index| std::str::from_utf8(shown(spec, &request, index)).unwrap());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn passwords_are_hidden_and_nothing_else_is() {
        // Read off the slow log of redis-server 7.0.15.
        for (request, shown) in [
            ("AUTH pw", "AUTH (redacted)"),
            ("auth default pw", "auth (redacted) (redacted)"),
            ("HELLO 3 AUTH default pw SETNAME bob", "HELLO 3 AUTH (redacted) (redacted) SETNAME bob"),
            ("HELLO 3 SETNAME bob", "HELLO 3 SETNAME bob"),
            ("SET auth pw", "SET auth pw"),
        ] {
            assert_eq!(shown_words(request), shown);
        }
    }

    #[test]
    fn passwords_in_malformed_requests_are_hidden_too() {
        assert_eq!(shown_words("HELLO auth default pw"), "HELLO auth (redacted) (redacted)");
        assert_eq!(shown_words("HELLO 3 FOO AUTH pw"), "HELLO 3 FOO AUTH (redacted)");
        assert_eq!(shown_words("AUTH a b c"), "AUTH (redacted) (redacted) (redacted)");
    }

    #[test]
    fn settings_that_hold_secrets_are_known_by_their_names() {
        for name in ["requirepass", "MasterAuth", "secret"] {
            assert!(names_a_secret(name.as_bytes()), "{name}");
        }
        assert!(!names_a_secret(b"maxclients"));
    }
}
