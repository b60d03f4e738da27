//! Who may read and write a store: read-only storage, modes, and a store of several users.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mounts;
use crate::sandbox::{QUICK, Ran, Sandbox, TINY, files};

const VIEW: &str = "output/score/ucm_human.parquet";

fn everything(root: &Path) -> Vec<PathBuf> {
    let mut all = vec![root.to_owned()];
    let mut at = 0;
    while at < all.len() {
        if all[at].is_dir() {
            all.extend(fs::read_dir(&all[at]).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    all
}

/// What is done with a store that cannot be written, the exit code, and what is said.
const READ_ONLY: [(&[&str], i32, &str); 7] = [
    (&["build", "score/ucm_class"], 5, "/cache/lock/"),
    (&["status", "score/ucm_human"], 0, ""),
    (&["verify"], 0, "all sound"),
    (&["gc"], 0, ""),
    (&["gc", "--apply", "--keep-last", "1", "--keep-within", "0s"], 5, "/cache/"),
    (&["pin", "paper", "ingest/ucm"], 5, "/cache/tmp"),
    (&["build", "--force", "ingest/ucm"], 5, "/cache/lock/"),
];

/// Tries all of it; `run` runs a command in a workspace that uses the store of `owner`.
fn try_read_only(what: &str, owner: &Sandbox, run: &dyn Fn(&Sandbox, &[&str]) -> Ran) {
    let other = Sandbox::new(TINY);
    let expected = fs::read(owner.path(VIEW)).unwrap();
    let before = everything(&owner.path("cache"));
    // The workspace that built it needs nothing; one without outputs, and one that is new, get them.
    for (name, sandbox, restored) in [("own", owner, 0), ("no outputs", owner, 4), ("new", &other, 4)] {
        if restored > 0 {
            _ = fs::remove_dir_all(sandbox.path("output"));
        }
        let ran = run(sandbox, &[&["build"], &QUICK[..]].concat()).ok();
        assert!(ran.built().is_empty(), "{what}, {name}: {}", ran.err);
        assert_eq!(
            ran.err.lines().filter(|line| line.starts_with("restored ")).count(),
            restored,
            "{what}, {name}: {}",
            ran.err
        );
        let told = ran.err.matches("the store does not learn that it is needed").count();
        assert_eq!(told, if name == "new" { 4 } else { 0 }, "{what}, {name}: {}", ran.err);
        assert!(fs::read(sandbox.path(VIEW)).unwrap() == expected, "{what}, {name}");
    }
    for (args, code, words) in READ_ONLY {
        let ran = run(owner, args);
        let said = format!("{what}, {args:?}: {}{}", ran.out, ran.err);
        assert_eq!(ran.code, Some(code), "{said}");
        assert!(ran.err.contains(words), "{said}");
        if code == 5 {
            let hinted =
                ["hint: the file system is read-only", "hint: look who owns"].iter().any(|h| ran.err.contains(h));
            assert!(hinted, "{said}");
        }
    }
    assert_eq!(everything(&owner.path("cache")), before, "{what}: something was written");
}

/// A built workspace with results that a collection would remove.
fn owner() -> Sandbox {
    let sandbox = Sandbox::quick();
    sandbox.rsic(&["build", "score/ucm_human", "-p", "score.resamples=20"]).ok();
    sandbox.build().ok();
    sandbox
}

#[test]
fn a_store_on_a_read_only_file_system_serves_what_it_has() {
    let Some(way) = mounts::way() else { return };
    let owner = owner();
    let store = owner.path("cache");
    try_read_only("mount", &owner, &|sandbox, args| {
        let script = r#"mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@""#;
        let mut command = mounts::script(way, sandbox, script);
        command.arg(&store).arg(env!("CARGO_BIN_EXE_rsic")).arg("-C").arg(&sandbox.root).args(args);
        command.env("RSIC_STORE", &store).output().unwrap().into()
    });
}

fn am_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_store_without_write_permission_serves_what_it_has() {
    let owner = owner();
    let store = owner.path("cache");
    let set = |mask: &dyn Fn(u32) -> u32| {
        for path in everything(&store) {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            fs::set_permissions(&path, fs::Permissions::from_mode(mask(mode))).unwrap();
        }
    };
    set(&|mode| mode & !0o222);
    try_read_only("chmod", &owner, &|sandbox, args| {
        let plain = sandbox.command(args);
        // Without its capabilities root is bound by modes as everybody is.
        let powerless = ["--bounding-set=-all", "--inh-caps=-all"];
        let mut command = if am_root() { Command::new("setpriv") } else { Command::new("env") };
        if am_root() {
            command.args(powerless);
        }
        command.arg(plain.get_program()).args(plain.get_args());
        mounts::same_environment(&plain, &mut command);
        command.env("RSIC_STORE", &store).output().unwrap().into()
    });
    set(&|mode| mode | 0o200);
}

#[test]
fn modes_follow_the_umask_and_objects_cannot_be_written() {
    for umask in [0o077, 0o000, 0o002, 0o027] {
        let sandbox = Sandbox::new(TINY);
        let plain = sandbox.command(&[&["build"], &QUICK[..]].concat());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("umask {umask:03o} && exec \"$@\""), "sh"]);
        command.arg(plain.get_program()).args(plain.get_args());
        mounts::same_environment(&plain, &mut command);
        Ran::from(command.output().unwrap()).ok();
        for path in [everything(&sandbox.path("cache")), everything(&sandbox.path("output"))].concat() {
            let all = match path.is_dir() {
                true => 0o777,
                false if path.starts_with(sandbox.path("cache/objects")) => 0o444,
                false => 0o666,
            };
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, all & !umask, "umask {umask:03o}: {} has {mode:03o}", path.display());
        }
        sandbox.rsic(&["verify"]).ok();
    }
}

#[test]
fn users_of_one_group_share_a_store() {
    if !am_root() {
        println!("SKIPPED: only root can be two users");
        return;
    }
    let group = 61_000;
    let users = [61_001, 61_002];
    // The program may lie where other users cannot go.
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("rsic");
    fs::copy(env!("CARGO_BIN_EXE_rsic"), &program).unwrap();
    let store = place.path().join("store");
    fs::create_dir(&store).unwrap();
    chown(&store, None, Some(group)).unwrap();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o2775)).unwrap();
    let workspaces = users.map(|user| {
        let sandbox = Sandbox::new(TINY);
        for path in everything(sandbox.root.parent().unwrap()) {
            chown(&path, Some(user), Some(user)).unwrap();
        }
        (user, sandbox)
    });
    let run = |(user, sandbox): &(u32, Sandbox), umask: &str, args: &[&str]| -> Ran {
        let plain = sandbox.command(args);
        let mut command = Command::new("setpriv");
        let id = user.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--groups", &group.to_string()]);
        command.args(["sh", "-c", &format!("umask {umask} && exec \"$@\""), "sh"]).arg(&program).args(plain.get_args());
        mounts::same_environment(&plain, &mut command);
        command.env("RSIC_STORE", &store).current_dir(&sandbox.root).output().unwrap().into()
    };
    let [first, second] = &workspaces;
    let quick = [&["build"], &QUICK[..]].concat();
    assert_eq!(run(first, "002", &quick).ok().built().len(), 4);
    assert!(run(second, "002", &quick).ok().built().is_empty(), "the other user has built it");
    run(second, "002", &["build", "score/ucm_class"]).ok();
    let collect = ["gc", "--apply", "--keep-last", "1", "--keep-within", "0s"];
    // One forgets to let the group write: the locks that the other leaves behind can be taken all the same.
    run(second, "022", &collect).ok();
    run(second, "022", &["build", "--force", "caption/ucm_human"]).ok();
    assert!(run(first, "002", &quick).ok().built().is_empty());
    run(first, "002", &["build", "--force", "ingest/ucm"]).ok();
    run(first, "002", &collect).ok();
    run(first, "002", &["verify"]).ok();
    assert!(run(second, "002", &quick).ok().built().is_empty());
    let views = [&first.1, &second.1].map(|sandbox| files(&sandbox.path("output/score/images")));
    assert!(views.iter().all(|views| !views.is_empty()));
}
