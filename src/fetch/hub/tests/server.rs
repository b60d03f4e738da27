//! A small hub on 127.0.0.1, with a second server for large files, and with faults on demand.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const ID: &str = "org/name";

/// What goes wrong with one request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This status, with these headers.
    Status(u16, &'static str),
    /// The connection breaks after so many bytes of the body.
    CutAfter(usize),
    /// The range is ignored, and the connection breaks after so many bytes.
    WholeCutAfter(usize),
    /// The connection breaks before any answer.
    HangUp,
    /// Nothing comes for this long.
    Silence(Duration),
    /// The range that was asked for is ignored.
    NoRange,
    /// The rest of the file is sent as from this byte on.
    WrongRange(usize),
    /// Other bytes of the same length.
    OtherBytes,
    /// Other bytes of another length.
    Longer,
    /// A body without a length, in chunks.
    Chunked,
    /// This body, with status 200 and none of the hub's headers.
    Page(&'static str, &'static str),
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) server: &'static str,
    /// Method and path.
    pub(crate) line: String,
    pub(crate) token: Option<String>,
    pub(crate) range: Option<String>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    /// Which of them are large: sent by the second server.
    large: Vec<String>,
    revisions: Vec<String>,
    listed: Option<Vec<String>>,
    etags: BTreeMap<String, String>,
    /// Beginning of method, path -> what goes wrong next.
    faults: BTreeMap<String, VecDeque<Fault>>,
    seen: Vec<Seen>,
    token: Option<String>,
    renamed_from: Option<String>,
}

/// The hub; it ends with the process.
#[derive(Clone)]
pub(crate) struct Hub {
    pub(crate) address: String,
    store: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    /// A hub with these files of one model, `(name, bytes, whether it is large)`.
    pub(crate) fn with(files: &[(&str, &[u8], bool)]) -> Self {
        let listen = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://{}", listener.local_addr().unwrap());
            (listener, address)
        };
        let ((hub, address), (store, store_address)) = (listen(), listen());
        let mut state = State { revisions: vec!["main".into(), "refs/pr/15".into()], ..State::default() };
        for (name, bytes, large) in files {
            state.files.insert((*name).to_owned(), bytes.to_vec());
            state.large.extend(large.then(|| (*name).to_owned()));
        }
        let this = Self { address, store: store_address, state: Arc::new(Mutex::new(state)) };
        for (listener, server) in [(hub, "hub"), (store, "store")] {
            let this = this.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let this = this.clone();
                    std::thread::spawn(move || this.answer(&stream, server));
                }
            });
        }
        this
    }

    /// The next requests that begin with `line`, such as `GET /org/name/resolve`, meet these faults.
    pub(crate) fn fails(&self, line: &str, faults: &[Fault]) {
        self.state.lock().unwrap().faults.insert(line.to_owned(), faults.iter().cloned().collect());
    }

    pub(crate) fn needs_token(&self, token: &str) {
        self.state.lock().unwrap().token = Some(token.to_owned());
    }

    pub(crate) fn was_called(&self, id: &str) {
        self.state.lock().unwrap().renamed_from = Some(id.to_owned());
    }

    pub(crate) fn lists(&self, names: &[&str]) {
        self.state.lock().unwrap().listed = Some(names.iter().map(|name| (*name).to_owned()).collect());
    }

    pub(crate) fn gives_etag(&self, file: &str, etag: &str) {
        self.state.lock().unwrap().etags.insert(file.to_owned(), etag.to_owned());
    }

    /// The requests since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    /// Answers one request and closes the connection.
    fn answer(&self, stream: &TcpStream, server: &'static str) -> Option<()> {
        let mut lines = BufReader::new(stream).lines();
        let line = lines.next()?.ok()?;
        let headers: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let header = |name: &str| {
            let found = headers.iter().filter_map(|line| line.split_once(": "));
            found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
        };
        let line = line.trim_end_matches(" HTTP/1.1").to_owned();
        let (range, token) = (header("range"), header("authorization"));
        let from = range.as_ref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        let mut state = self.state.lock().unwrap();
        state.seen.push(Seen { server, line: line.clone(), token: token.clone(), range });
        let fault = state.faults.iter_mut().find(|(begin, _)| line.starts_with(begin.as_str()));
        let fault = fault.and_then(|(_, faults)| faults.pop_front());
        let reply = match &fault {
            Some(Fault::Status(status, headers)) => Reply::status(*status, headers),
            Some(Fault::Page(kind, body)) => Reply::page(kind, body),
            Some(Fault::HangUp) => return None,
            _ if server == "store" => store(&state, &line),
            _ if state.token.is_some() && state.token != token => Reply::status(401, "X-Error-Code: GatedRepo"),
            _ => self.hub(&state, &line),
        };
        drop(state);
        if let Some(Fault::Silence(time)) = fault {
            std::thread::sleep(time);
        }
        reply.send(stream, &line, from, fault.as_ref())
    }

    fn hub(&self, state: &State, line: &str) -> Reply {
        let path = line.split(' ').nth(1).unwrap_or_default();
        if let Some(old) = &state.renamed_from
            && path.contains(&format!("/{old}/"))
        {
            let to = path.replacen(&format!("/{old}/"), &format!("/{ID}/"), 1);
            return Reply::status(307, &format!("Location: {to}"));
        }
        if let Some(revision) = path.strip_prefix(&format!("/api/models/{ID}/revision/")) {
            let revision = revision.replace("%2F", "/");
            if revision != COMMIT && !state.revisions.contains(&revision) {
                return Reply::status(404, "X-Error-Code: RevisionNotFound");
            }
            let names = state.listed.clone().unwrap_or_else(|| state.files.keys().cloned().collect());
            let files: Vec<_> = names.iter().map(|name| serde_json::json!({"rfilename": name})).collect();
            let body = serde_json::json!({"id": ID, "sha": COMMIT, "siblings": files}).to_string();
            return Reply { status: 200, headers: vec!["Content-Type: application/json".into()], body: body.into() };
        }
        let Some((_, name)) = path.strip_prefix(&format!("/{ID}/resolve/")).and_then(|rest| rest.split_once('/'))
        else {
            return Reply::status(404, "X-Error-Code: RepoNotFound");
        };
        let name = &name.replace("%20", " ");
        let Some(bytes) = state.files.get(name) else { return Reply::status(404, "X-Error-Code: EntryNotFound") };
        let large = state.large.iter().any(|large| large == name);
        let etag = state.etags.get(name).cloned().unwrap_or_else(|| etag(bytes, large));
        let mut headers = vec![format!("X-Repo-Commit: {COMMIT}")];
        if large {
            headers.push(format!("X-Linked-Etag: \"{etag}\""));
            headers.push(format!("X-Linked-Size: {}", bytes.len()));
            headers.push(format!("Location: {}/store/{name}?Signature=secret", self.store));
            return Reply { status: 302, headers, body: b"Found. Redirecting".to_vec() };
        }
        headers.push(format!("ETag: \"{etag}\""));
        Reply { status: 200, headers, body: bytes.clone() }
    }
}

fn store(state: &State, line: &str) -> Reply {
    let path = line.split([' ', '?']).nth(1).unwrap_or_default();
    let bytes = path.strip_prefix("/store/").and_then(|name| state.files.get(name));
    let headers = vec!["ETag: \"an-etag-of-the-store\"".to_owned()];
    bytes.map_or_else(|| Reply::status(404, ""), |bytes| Reply { status: 200, headers, body: bytes.clone() })
}

/// What the hub calls these bytes.
pub(crate) fn etag(bytes: &[u8], large: bool) -> String {
    let digest = if large {
        digest(&SHA256, bytes)
    } else {
        digest(&SHA1_FOR_LEGACY_USE_ONLY, &[format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat())
    };
    digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

struct Reply {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Reply {
    fn status(status: u16, headers: &str) -> Self {
        let headers = headers.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect();
        Self { status, headers, body: Vec::new() }
    }

    fn page(kind: &str, body: &str) -> Self {
        Self { status: 200, headers: vec![format!("Content-Type: {kind}")], body: body.as_bytes().to_vec() }
    }

    fn send(mut self, mut stream: &TcpStream, line: &str, from: Option<usize>, fault: Option<&Fault>) -> Option<()> {
        match fault {
            Some(Fault::OtherBytes) => self.body.fill(b'?'),
            Some(Fault::Longer) => self.body.extend(b"more"),
            _ => {}
        }
        let whole = self.body.len();
        if let Some(from) =
            from.filter(|_| self.status == 200 && !matches!(fault, Some(Fault::NoRange | Fault::WholeCutAfter(_))))
        {
            let from = if let Some(Fault::WrongRange(other)) = fault { *other } else { from };
            if from >= whole {
                self = Self::status(416, &format!("Content-Range: bytes */{whole}"));
            } else {
                self.status = 206;
                self.headers.push(format!("Content-Range: bytes {from}-{}/{whole}", whole - 1));
                self.body.drain(..from);
            }
        }
        let mut head = vec![format!("HTTP/1.1 {} x", self.status), "Connection: close".to_owned()];
        let chunked = matches!(fault, Some(Fault::Chunked));
        if chunked {
            head.push("Transfer-Encoding: chunked".to_owned());
        } else {
            head.push(format!("Content-Length: {}", self.body.len()));
        }
        head.append(&mut self.headers);
        write!(stream, "{}\r\n\r\n", head.join("\r\n")).ok()?;
        if line.starts_with("HEAD ") {
            return Some(());
        }
        let cut = if let Some(Fault::CutAfter(bytes) | Fault::WholeCutAfter(bytes)) = fault {
            *bytes
        } else {
            self.body.len()
        };
        let body = &self.body[..cut.min(self.body.len())];
        if chunked {
            for chunk in body.chunks(1000) {
                write!(stream, "{:x}\r\n", chunk.len()).ok()?;
                stream.write_all(chunk).ok()?;
                stream.write_all(b"\r\n").ok()?;
            }
            stream.write_all(b"0\r\n\r\n").ok()?;
        } else {
            stream.write_all(body).ok()?;
        }
        // Lets the other side read before the close, whatever it still wanted to send.
        stream.shutdown(std::net::Shutdown::Write).ok()?;
        let _ = stream.take(1 << 10).read_to_end(&mut Vec::new());
        Some(())
    }
}
