//! Where a redirect leads, and whether the token may go along.

use ureq::http::Uri;

/// The address that `location` means in an answer of `url`; `None` if it is none to follow.
///
/// A redirect never leads from `https` to an open connection.
pub(super) fn follow(url: &str, location: &str) -> Option<String> {
    let (scheme, authority, path) = split(url)?;
    let next = if let Some((other, _)) = location.split_once("://") {
        format!("{}{}", other.to_ascii_lowercase(), &location[other.len()..])
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let next = next.split('#').next().unwrap_or_default().to_owned();
    let (to, ..) = split(&next)?;
    (to == scheme || to == "https").then_some(next)
}

/// Whether two addresses are of the same scheme, host and port.
///
/// A name before `@` counts as part of the host, so that it never makes two hosts look like one.
pub(super) fn same_origin(a: &str, b: &str) -> bool {
    // Read by the parser of the client that sends the token, so that both see the same host.
    let origin = |url: &str| {
        let url = Uri::try_from(url).ok()?;
        Some((url.scheme_str()?.to_ascii_lowercase(), url.authority()?.as_str().to_ascii_lowercase()))
    };
    origin(a).is_some() && origin(a) == origin(b)
}

/// The host and port of an address, for messages.
pub(super) fn host(url: &str) -> String {
    let authority = split(url).map_or(url, |(_, authority, _)| authority);
    super::name::printable(authority.rsplit('@').next().unwrap_or_default())
}

/// Whether the text can be the address of a hub.
pub(super) fn is_endpoint(url: &str) -> bool {
    split(url).is_some_and(|(_, _, path)| !path.contains(['?', '#'])) && Uri::try_from(url).is_ok()
}

/// Scheme, authority and the rest of an `http` or `https` address.
fn split(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    (["http", "https"].contains(&scheme) && !authority.is_empty() && !authority.contains('\\'))
        .then_some((scheme, authority, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_resolved() {
        for (url, location, expected) in [
            ("https://hub.test/a/b?c", "/x/y?z", Some("https://hub.test/x/y?z")),
            ("https://hub.test/a/b?c", "y", Some("https://hub.test/a/y")),
            ("https://hub.test/a", "//cdn.test/y#part", Some("https://cdn.test/y")),
            ("https://hub.test/a", "https://cdn.test/y", Some("https://cdn.test/y")),
            ("http://hub.test/a", "HTTPS://cdn.test/y", Some("https://cdn.test/y")),
            ("http://hub.test/a", "http://cdn.test/y", Some("http://cdn.test/y")),
            ("https://hub.test/a", "http://cdn.test/y", None),
            ("https://hub.test/a", "file:///etc/passwd", None),
            ("https://hub.test/a", "https://", None),
            ("https://hub.test/a", "https://hub.test\\@cdn.test/y", None),
        ] {
            assert_eq!(follow(url, location).as_deref(), expected, "{url} {location}");
        }
    }

    #[test]
    fn the_token_goes_to_the_same_origin_only() {
        for (a, b, same) in [
            ("https://hub.test", "https://hub.test/x", true),
            ("https://hub.test", "https://HUB.test?x", true),
            ("https://hub.test", "http://hub.test/x", false),
            ("https://hub.test", "https://hub.test:8443/x", false),
            ("https://hub.test", "https://hub.test@evil.test/x", false),
            ("https://hub.test", "https://hub.test\\@evil.test/x", false),
            ("https://hub.test", "https://hub.test.evil.test/x", false),
            ("hub.test", "hub.test", false),
        ] {
            assert_eq!(same_origin(a, b), same, "{a} {b}");
        }
        assert_eq!(host("https://user:secret@hub.test:1/x?y"), "hub.test:1");
    }

    #[test]
    fn endpoints() {
        for (url, fine) in [
            ("https://hub.test", true),
            ("http://127.0.0.1:80/mirror", true),
            ("hub.test", false),
            ("ftp://hub.test", false),
            ("https://", false),
            ("https://hub.test/?x=", false),
            ("https://hub test", false),
        ] {
            assert_eq!(is_endpoint(url), fine, "{url}");
        }
    }
}
