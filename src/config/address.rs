//! Addresses: `host:port`, where a host is a name, an IPv4 address or an IPv6 address in brackets.

use std::net::Ipv6Addr;

/// Why `address` cannot be one; `None` if it can.
pub(super) fn objection(address: &str) -> Option<&'static str> {
    let Some((host, port)) = address.rsplit_once(':') else { return Some("has no port") };
    match port.parse::<u16>() {
        _ if !port.bytes().all(|byte| byte.is_ascii_digit()) => Some("has a port that is no number"),
        Ok(0) | Err(_) => Some("has a port outside of 1 to 65535"),
        Ok(_) => host_objection(host),
    }
}

/// Whether the host in `address` stands for all addresses of a machine: a node can be bound to it, not reached at it.
pub(super) fn is_wildcard(address: &str) -> bool {
    matches!(address.rsplit_once(':'), Some(("0.0.0.0" | "[::]", _)))
}

fn host_objection(host: &str) -> Option<&'static str> {
    if host.is_empty() {
        return Some("has no host");
    }
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => None,
        Some(_) => Some("has no IPv6 address between its brackets"),
        None if host.contains(':') => Some("has an IPv6 address without brackets around it"),
        None if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) => None,
        None => Some("has a host with characters other than letters, digits, `.`, `-` and `_`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_ip_addresses_are_hosts() {
        for address in ["localhost:1", "node-1.db_net.example:6379", "10.0.0.1:65535", "[::1]:7001", "[fe80::1]:80"] {
            assert_eq!(objection(address), None, "{address}");
        }
    }

    #[test]
    fn each_objection_names_what_is_wrong() {
        for (address, part) in [
            ("localhost", "no port"),
            ("", "no port"),
            ("localhost:", "outside of 1"),
            ("localhost:http", "no number"),
            ("localhost:+1", "no number"),
            ("localhost:0", "outside of 1"),
            ("localhost:65536", "outside of 1"),
            (":6379", "no host"),
            ("::1:6379", "without brackets"),
            ("[::g]:6379", "between its brackets"),
            ("my host:6379", "characters other"),
        ] {
            assert!(objection(address).is_some_and(|why| why.contains(part)), "{address}: {:?}", objection(address));
        }
    }

    #[test]
    fn wildcards_are_told_from_addresses() {
        assert!(is_wildcard("0.0.0.0:1") && is_wildcard("[::]:1"));
        assert!(!is_wildcard("10.0.0.0:1") && !is_wildcard("[::1]:1"));
    }
}
