//! What a store does not put right by itself: it refuses with a hint, or names what is not its own and leaves it alone.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use crate::sandbox::{Sandbox, files};
use crate::store_damage::{VIEW, overwrite, replace_by_folder};

/// A file name that is not UTF-8.
fn odd(name: &[u8]) -> PathBuf {
    std::ffi::OsString::from_vec([b"\xff\xfe", name].concat()).into()
}

/// A name, what stands in the way, and words of the error and of its hint.
type Refused = (&'static str, fn(&Sandbox), &'static str, &'static str);

/// What only the user can put right: the exit code of a build, and what it says.
const REFUSED: [Refused; 8] = [
    (
        "FORMAT of another version",
        |s| overwrite(&s.path("cache/FORMAT"), b"rsic cache 3\n"),
        "says `rsic cache 3`",
        "version",
    ),
    ("FORMAT garbage", |s| overwrite(&s.path("cache/FORMAT"), b"\xff\0"), "says `", "keeps all results"),
    ("FORMAT empty", |s| overwrite(&s.path("cache/FORMAT"), b""), "says ``", "keeps all results"),
    (
        "a folder that is no cache",
        |s| {
            fs::remove_file(s.path("cache/FORMAT")).unwrap();
            overwrite(&s.path("cache/thesis.tex"), b"x");
        },
        "holds `thesis.tex`",
        "an empty or a new folder",
    ),
    (
        "the store is a file",
        |s| {
            fs::remove_dir_all(s.path("cache")).unwrap();
            overwrite(&s.path("cache"), b"x");
        },
        "cache: Not a directory",
        "something else stands in its place",
    ),
    ("a result is a folder", |s| replace_by_folder(&s.path(VIEW)), VIEW, "something else stands in its place"),
    (
        "a folder of results is a file",
        |s| {
            fs::remove_dir_all(s.path("output/score")).unwrap();
            overwrite(&s.path("output/score"), b"x");
        },
        "output/score",
        "something else stands in its place",
    ),
    (
        "a root is a folder",
        |s| replace_by_folder(&s.path("cache/roots/own/score/ucm_human.json")),
        "roots/own/score/ucm_human.json",
        "rsic verify --repair",
    ),
];

#[test]
fn what_only_the_user_can_put_right_is_refused_with_a_hint() {
    for (name, damage, words, hint) in REFUSED {
        let sandbox = Sandbox::quick();
        damage(&sandbox);
        let before = files(&sandbox.root);
        let ran = sandbox.build();
        assert!(ran.code == Some(5) && ran.err.contains(words) && ran.err.contains(hint), "{name}: {}", ran.err);
        assert!(!ran.err.contains("panicked"), "{name}: {}", ran.err);
        let stays = |path: &PathBuf| path.symlink_metadata().is_ok();
        assert!(before.iter().all(stays), "{name}: something was removed");
    }
    // The hints help.
    for (name, damage) in [("FORMAT", REFUSED[1].1), ("root", REFUSED[7].1)] {
        let sandbox = Sandbox::quick();
        damage(&sandbox);
        if name == "FORMAT" {
            fs::remove_file(sandbox.path("cache/FORMAT")).unwrap();
        } else {
            sandbox.rsic(&["verify", "--repair"]).ok();
        }
        assert!(sandbox.build().ok().built().is_empty(), "{name}");
        sandbox.rsic(&["verify"]).ok();
    }
}

#[test]
fn foreign_files_are_named_and_left_alone() {
    let sandbox = Sandbox::quick();
    let mut folders = vec![sandbox.path("cache")];
    let mut foreign = Vec::new();
    while let Some(folder) = folders.pop() {
        let below: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.extend(below.into_iter().filter(|path| path.is_dir()));
        for name in [PathBuf::from("notes.txt"), odd(b".parquet")] {
            fs::write(folder.join(&name), "x").unwrap();
            foreign.push(folder.join(name));
        }
        fs::create_dir(folder.join(odd(b"folder"))).unwrap();
        symlink("..", folder.join("up")).unwrap();
        foreign.push(folder.join("up"));
    }
    let ran = sandbox.rsic(&["verify"]).ok();
    // In the quarantine any name may be one of ours that is damaged, if it is a text.
    let named = ran.out.matches("not a file of the cache").count();
    assert_eq!(named, foreign.len() - 2, "{}", ran.out);
    sandbox.rsic(&["verify", "--repair"]).ok();
    assert!(sandbox.build().ok().built().is_empty());
    sandbox.rsic(&["build", "--force", "score/ucm_human"]).ok();
    sandbox.rsic(&["gc", "--apply", "--keep-within", "0s"]).ok();
    let quarantined = sandbox.path("cache/quarantine");
    for path in foreign.iter().filter(|path| !path.starts_with(&quarantined)) {
        assert!(path.symlink_metadata().is_ok(), "{} is gone", path.display());
    }
}
