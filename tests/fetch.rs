//! `rsic fetch` against a hub on this machine: the model comes into the Hugging Face cache, and builds use it offline.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::sandbox::{Sandbox, TINY};

const COMMIT: &str = "0123456789012345678901234567890123456789";

/// A hub with one model, `org/clip`, on the loopback interface; it lives as long as the test program.
struct Hub {
    address: String,
    requests: Arc<AtomicUsize>,
}

impl Hub {
    fn with(folder: &Path) -> Self {
        let files: BTreeMap<String, Vec<u8>> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap()))
            .collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                answer(stream.unwrap(), &files);
            }
        });
        Self { address, requests }
    }
}

/// Answers one request and closes.
fn answer(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    let mut parts = first.split(' ');
    let (method, path) = (parts.next().unwrap(), parts.next().unwrap());
    let (status, body, headers) = if path == "/api/models/org/clip/revision/main" {
        let names: Vec<_> = files.keys().map(|name| json!({"rfilename": name})).collect();
        ("200 OK", json!({"sha": COMMIT, "siblings": names}).to_string().into_bytes(), String::new())
    } else if let Some(bytes) =
        path.strip_prefix(&format!("/org/clip/resolve/{COMMIT}/")).and_then(|name| files.get(name))
    {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let etag = digest.as_ref().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        ("200 OK", bytes.clone(), format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{etag}\"\r\n"))
    } else {
        ("404 Not Found", b"{}".to_vec(), "X-Error-Code: RepoNotFound\r\n".to_owned())
    };
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    if method != "HEAD" {
        stream.write_all(&body).unwrap();
    }
}

#[test]
fn a_fetched_model_builds_offline() {
    let sandbox = Sandbox::new(&TINY.replace("clip = \"scratch\"", "clip = \"org/clip\""));
    // The model that the hub has is one that another workspace trained.
    let trained = Sandbox::new(TINY);
    trained.rsic(&["build", "embed/ucm"]).ok();
    let hub = Hub::with(&trained.path("output/pretrain/ucm_clip"));
    let run = |args: &[&str], offline: bool| -> crate::sandbox::Ran {
        let mut command = sandbox.command(args);
        command.env("HF_ENDPOINT", &hub.address);
        if offline {
            command.env("HF_HUB_OFFLINE", "1");
        }
        command.output().unwrap().into()
    };
    sandbox.rsic(&["build", "embed/ucm"]).fails(1, &["hint: fetch it with `rsic fetch org/clip`"]);
    run(&["fetch"], true).fails(1, &["org/clip at main is not whole", "offline"]);
    assert_eq!(hub.requests.load(Ordering::SeqCst), 0, "offline means offline");
    run(&["fetch", "org/none"], false).fails(1, &["the hub has no model org/none"]);
    let fetched = run(&["fetch"], false).ok();
    assert!(fetched.err.contains("org/clip: ") && fetched.err.contains("MB downloaded"), "{}", fetched.err);
    assert!(fetched.out.trim_end().ends_with(COMMIT), "{}", fetched.out);
    let file = run(&["fetch", "org/clip", "--file", "model.safetensors"], false).ok().out;
    assert!(file.trim_end().ends_with(&format!("{COMMIT}/model.safetensors")), "{file}");
    sandbox.rsic(&["import", file.trim_end(), "--inspect"]).ok();
    run(&["fetch", "meteor", "--file", "x.pt"], false).fails(1, &["METEOR's tables are fetched as a whole"]);
    let before = hub.requests.load(Ordering::SeqCst);
    run(&["fetch"], true).ok();
    let built = run(&["build", "embed/ucm"], true).ok().built();
    assert!(built.contains("embed/ucm") && !built.contains("pretrain/ucm_clip"), "{built:?}");
    assert_eq!(hub.requests.load(Ordering::SeqCst), before, "builds never use the network");
    // The same weights give the same vectors, wherever they came from.
    let vectors =
        |sandbox: &Sandbox| fs::read(sandbox.path("output/embed/ucm.parquet")).map(rsic::table::read).unwrap();
    assert_eq!(vectors(&sandbox).unwrap(), vectors(&trained).unwrap());
    sandbox.rsic(&["fetch", "./models/clip"]).fails(1, &["is no hub id"]);
}
