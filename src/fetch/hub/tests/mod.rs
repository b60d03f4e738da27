//! Whole fetches against a small hub that the test starts itself.

mod fault;
mod fetching;
pub(crate) mod server;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use super::{Fetched, Files, HubError, Settings, Token, Wanted, fetch};
use crate::progress::Progress;
use server::{COMMIT, Hub, ID};

const CONFIG: &[u8] = b"{\"model_type\": \"gpt2\"}";
const VOCABULARY: &[u8] = b"[PAD]\n[UNK]\n";

/// 2 800 000 bytes without a pattern: several of the chunks in which a transfer is written.
fn weights() -> &'static [u8] {
    static WEIGHTS: LazyLock<Vec<u8>> = LazyLock::new(|| {
        (0..700_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
    });
    &WEIGHTS
}

fn hub() -> Hub {
    Hub::with(&[
        ("config.json", CONFIG, false),
        ("vocab.txt", VOCABULARY, false),
        ("model.safetensors", weights(), true),
        ("pytorch_model.bin", b"other weights", true),
        ("README.md", b"read me", false),
    ])
}

fn settings(hub: &Hub, cache: &Path) -> Settings {
    Settings {
        endpoint: hub.address.clone(),
        token: None,
        cache: cache.to_owned(),
        offline: false,
        symlinks: true,
        proxy: false,
        certificates: None,
        answer_timeout: Duration::from_secs(5),
        stall_timeout: Duration::from_millis(500),
        attempts: 3,
        pause: Duration::from_millis(1),
    }
}

/// Remembers what it was told; stops at a number of bytes.
#[derive(Default)]
struct Watch {
    notes: Mutex<Vec<String>>,
    begun: Mutex<Vec<String>>,
    steps: AtomicU64,
    stop_at: Option<u64>,
}

impl Progress for Watch {
    fn begin(&self, what: &str, total: u64, unit: &str) {
        self.begun.lock().unwrap().push(format!("{what}: {total} {unit}"));
        self.steps.store(0, Ordering::Relaxed);
    }
    fn advance(&self, steps: u64) {
        self.steps.fetch_add(steps, Ordering::Relaxed);
    }
    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
    fn cancelled(&self) -> bool {
        self.stop_at.is_some_and(|stop| self.steps.load(Ordering::Relaxed) >= stop)
    }
}

fn get(settings: &Settings) -> Result<Fetched, HubError> {
    get_at(settings, "main", Files::Model)
}

fn get_at(settings: &Settings, revision: &str, files: Files) -> Result<Fetched, HubError> {
    fetch(settings, &Wanted { id: ID, revision, files }, &Watch::default())
}

fn names(fetched: &Fetched) -> Vec<&str> {
    fetched.files.iter().map(|file| file.name.as_str()).collect()
}

/// The files in a folder of the model, sorted.
fn list(cache: &Path, folder: &str) -> Vec<String> {
    let found = fs::read_dir(cache.join("models--org--name").join(folder)).into_iter().flatten();
    let mut found: Vec<_> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    found
}
