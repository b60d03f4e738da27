//! Many programs at once on one store: they share the work, wait for each other, and nobody harms anybody.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::sandbox::{Ran, Sandbox, TINY, files};

/// What the eight programs build: the same, parts of it, and more than one target.
const TARGETS: [&[&str]; 8] = [
    &["score/ucm_human"],
    &["score/ucm_human", "score/ucm_class"],
    &["ingest/ucm"],
    &["score/ucm_class", "ingest/ucm"],
    &["caption/ucm_human", "score/ucm_class"],
    &["score/ucm_human", "ingest/ucm"],
    &["score/ucm_class"],
    &["score/ucm_human", "score/ucm_class", "ingest/ucm", "--jobs", "3"],
];
/// Everything that they need.
const STAGES: [&str; 6] =
    ["annotations/ucm", "caption/ucm_class", "caption/ucm_human", "ingest/ucm", "score/ucm_class", "score/ucm_human"];
/// No time for intervals.
const FAST: [&str; 2] = ["-p", "score.resamples=10"];
/// The strictest collection.
const COLLECT: [&str; 6] = ["gc", "--apply", "--keep-last", "1", "--keep-within", "0s"];

/// A program that runs, and the file with what it has said.
struct Running {
    child: Child,
    said: PathBuf,
}

impl Running {
    fn start(sandbox: &Sandbox, name: &str, args: &[&str], environment: &[(&str, &Path)]) -> Self {
        let said = sandbox.root.with_file_name(format!("said-{name}"));
        let mut command = sandbox.command(args);
        command.stdout(Stdio::null()).stderr(File::create(&said).unwrap());
        command.envs(environment.iter().copied());
        Self { child: command.spawn().unwrap(), said }
    }

    fn build(sandbox: &Sandbox, name: &str, targets: &[&str], environment: &[(&str, &Path)]) -> Self {
        Self::start(sandbox, name, &[&["build"], targets, &FAST].concat(), environment)
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap()
    }

    fn end(mut self) -> Ran {
        let code = self.child.wait().unwrap().code();
        Ran { code, out: String::new(), err: self.said() }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        assert_eq!(self.child.wait().unwrap().code(), None);
    }
}

/// Waits for something that will come; the limit only keeps a failure from hanging.
#[track_caller]
fn until(what: &str, mut come: impl FnMut() -> bool) {
    let began = Instant::now();
    while !come() {
        assert!(began.elapsed() < Duration::from_mins(2), "{what} does not come");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How often each stage was computed.
fn computed(runs: &[Ran]) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for name in runs.iter().flat_map(Ran::built) {
        *times.entry(name).or_default() += 1;
    }
    times
}

/// Each of these once.
fn once(stages: &[&str]) -> BTreeMap<String, usize> {
    stages.iter().map(|name| ((*name).to_owned(), 1)).collect()
}

/// What one program alone makes of everything.
fn outputs_of_one() -> BTreeMap<PathBuf, Vec<u8>> {
    let sandbox = Sandbox::new(TINY);
    sandbox.rsic(&[&["build"], TARGETS[7], &FAST].concat()).ok();
    outputs(&sandbox)
}

fn outputs(sandbox: &Sandbox) -> BTreeMap<PathBuf, Vec<u8>> {
    let all = files(&sandbox.path("output")).into_iter();
    all.map(|path| (path.strip_prefix(&sandbox.root).unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

/// Nothing is wrong in the store, and after a collection nothing is left over.
fn assert_sound(sandbox: &Sandbox, store: &Path) {
    let run = |args: &[&str]| -> Ran { sandbox.command(args).env("RSIC_STORE", store).output().unwrap().into() };
    run(&COLLECT).ok();
    assert_eq!(run(&["verify"]).ok().out, "");
    for folder in ["tmp", "sessions", "lock", "partial", "quarantine"] {
        assert_eq!(files(&store.join(folder)), Vec::<PathBuf>::new(), "{folder}");
    }
}

/// Says that something is over, also when it ends in a panic.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a strict collection again and again while `work` goes on; returns how many there were.
fn while_collecting<T>(sandbox: &Sandbox, store: &Path, work: impl FnOnce() -> T) -> (T, usize) {
    let (done, times) = (AtomicBool::new(false), AtomicUsize::new(0));
    let made = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let ran: Ran = sandbox.command(&COLLECT).env("RSIC_STORE", store).output().unwrap().into();
                ran.ok();
                times.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _over = Over(&done);
        work()
    });
    (made, times.into_inner())
}

#[test]
fn eight_builds_beside_collections_compute_everything_once() {
    let expected = outputs_of_one();
    for shared in [false, true, false, true] {
        let (first, second) = (Sandbox::new(TINY), Sandbox::new(TINY));
        let store = first.path("cache");
        let both = if shared { [&first, &second] } else { [&first, &first] };
        let (runs, collections) = while_collecting(&first, &store, || {
            let started = TARGETS
                .iter()
                .enumerate()
                .map(|(n, targets)| Running::build(both[n % 2], &n.to_string(), targets, &[("RSIC_STORE", &store)]));
            let started: Vec<Running> = started.collect();
            started.into_iter().map(|running| running.end().ok()).collect::<Vec<Ran>>()
        });
        assert_eq!(computed(&runs), once(&STAGES), "shared: {shared}");
        assert_sound(&first, &store);
        let waits: usize = runs.iter().map(|ran| ran.err.matches("(held by process ").count()).sum();
        println!("shared: {shared}, {collections} collections, {waits} waits");
        for sandbox in both {
            for (path, bytes) in outputs(sandbox) {
                assert!(expected[&path] == bytes, "shared: {shared}, {} differs", path.display());
            }
        }
    }
}

#[test]
fn all_others_wait_and_say_for_whom_and_go_on_when_the_holder_is_killed() {
    for killed in [false, true] {
        let sandbox = Sandbox::new(TINY);
        let store = sandbox.path("cache");
        let pause = sandbox.root.with_file_name("pause");
        let at = PathBuf::from(format!("stage.begin={}", pause.display()));
        let holder = Running::build(&sandbox, "holder", TARGETS[0], &[("RSIC_FAIL_AT", &at)]);
        until("the first stage", || pause.exists());
        let others: Vec<Running> = TARGETS
            .iter()
            .enumerate()
            .map(|(n, targets)| Running::build(&sandbox, &n.to_string(), targets, &[]))
            .collect();
        let id = holder.child.id();
        let wait = format!("wait annotations/ucm (held by process {id} (`rsic build`), for annotations/ucm)");
        for other in &others {
            until("a remark about the holder", || other.said().contains(&wait));
        }
        // A collection neither waits for a stage nor takes anything away from it.
        sandbox.rsic(&COLLECT).ok();
        let mut runs = Vec::new();
        if killed {
            holder.kill();
        } else {
            until("the end of the holder", || {
                _ = fs::remove_file(&pause);
                holder.said().contains("stages: ") || holder.said().contains("error")
            });
            runs.push(holder.end().ok());
        }
        runs.extend(others.into_iter().map(|other| other.end().ok()));
        assert_eq!(computed(&runs), once(&STAGES), "killed: {killed}");
        assert_sound(&sandbox, &store);
    }
}

#[test]
fn builds_go_on_when_a_collection_is_killed() {
    let sandbox = Sandbox::quick();
    let pause = sandbox.root.with_file_name("pause");
    let at = PathBuf::from(format!("gc.begin={}", pause.display()));
    let collection = Running::start(&sandbox, "gc", &COLLECT, &[("RSIC_FAIL_AT", &at)]);
    until("the collection", || pause.exists());
    let build = Running::build(&sandbox, "build", TARGETS[1], &[]);
    // Who only looks does not wait.
    sandbox.rsic(&["status"]).ok();
    collection.kill();
    build.end().ok();
    assert_sound(&sandbox, &sandbox.path("cache"));
}

#[test]
fn a_collection_spares_what_a_build_is_making() {
    for point in ["lock.take", "object.folder", "record.folder", "view.folder", "root.create"] {
        let sandbox = Sandbox::new(TINY);
        let pause = sandbox.root.with_file_name("pause");
        let at = PathBuf::from(format!("{point}={}", pause.display()));
        let mut build = Running::build(&sandbox, "build", TARGETS[5], &[("RSIC_FAIL_AT", &at)]);
        let mut collections = 0;
        until("the end of the build", || {
            if pause.exists() {
                sandbox.rsic(&COLLECT).ok();
                collections += 1;
                fs::remove_file(&pause).unwrap();
            }
            build.child.try_wait().unwrap().is_some()
        });
        let ran = build.end().ok();
        assert!(collections >= 4, "{point}: {collections}");
        // Nothing was taken away, so that nothing had to be made twice.
        assert!(!ran.err.contains("warning"), "{point}: {}", ran.err);
        assert_eq!(computed(&[ran]), once(&["annotations/ucm", "caption/ucm_human", "ingest/ucm", "score/ucm_human"]));
        assert_sound(&sandbox, &sandbox.path("cache"));
    }
}
