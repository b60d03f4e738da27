//! Full disks: a small file system of its own for every trial, in a mount namespace that goes away with the trial.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use crate::mounts;
use crate::sandbox::{QUICK, Sandbox, TINY, files};

/// Builds on a file system that is too small, looks at what is left, makes room, and builds again.
///
/// `$1` mount options, `$2` options that make room, `$3` the workspace, `$4` where the answers go, `$5` the mount point, then
/// the program and the targets. 77 says that nothing can be mounted here.
const TRIAL: &str = r#"
room=$2 workspace=$3 answers=$4 disk=$5
mount -t tmpfs -o "$1" none "$disk" 2> "$answers/why" || exit 77
shift 5
program=$1
shift
if [ -L "$workspace/output" ]; then mkdir "$disk/output"; fi
run() {
    step=$1
    shift
    "$program" -C "$workspace" "$@" > "$answers/$step.out" 2> "$answers/$step.err"
    echo $? > "$answers/$step.code"
}
run first build "$@"
find "$disk" "$workspace" -name '.rsic-*.tmp' > "$answers/left"
run collect gc --apply --keep-within 0s
mount -o "remount,$room" "$disk" || exit 78
run second build "$@"
run verify verify
run tidy gc --apply --keep-within 0s
find "$disk" "$workspace" -name '.rsic-*.tmp' >> "$answers/left"
cp -rL "$workspace/output" "$answers/output"
"#;

/// What is on the small file system.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Store,
    Output,
    Both,
}

/// One trial; returns whether the first build had enough space.
fn try_with(way: &[&str], sandbox: &Sandbox, place: Place, small: &str, room: &str) -> bool {
    let what = format!("{place:?} on {small}");
    let [answers, disk] = ["answers", "disk"].map(|name| sandbox.root.with_file_name(name));
    for folder in [&answers, &disk, &sandbox.path("cache"), &sandbox.path("output")] {
        _ = fs::remove_dir_all(folder);
        _ = fs::remove_file(folder);
    }
    for folder in [&answers, &disk] {
        fs::create_dir(folder).unwrap();
    }
    if place != Place::Store {
        std::os::unix::fs::symlink(disk.join("output"), sandbox.path("output")).unwrap();
    }
    let mut command = mounts::script(way, sandbox, TRIAL);
    command.args([small, room]).args([&sandbox.root, &answers, &disk]).arg(env!("CARGO_BIN_EXE_rsic")).args(QUICK);
    if place != Place::Output {
        command.env("RSIC_STORE", disk.join("store"));
    }
    let status = command.status().unwrap();
    let text = |name: &str| fs::read_to_string(answers.join(name)).unwrap_or_default();
    assert!(status.success(), "{what}: {status} {}", text("why"));
    let code = |step: &str| text(&format!("{step}.code")).trim().parse::<i32>().ok();
    let said =
        |step: &str| format!("{what}, {step}:\n{}{}", text(&format!("{step}.out")), text(&format!("{step}.err")));
    let first = text("first.err");
    let enough = code("first") == Some(0);
    if !enough {
        assert_eq!(code("first"), Some(5), "{}", said("first"));
        let error = first.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        let names_it =
            [disk.join("store"), sandbox.path("output")].iter().any(|p| error.contains(&*p.to_string_lossy()));
        assert!(names_it && error.contains("no space left while trying to"), "{}", said("first"));
        assert!(first.contains("hint: free some space"), "{}", said("first"));
    }
    // Where not even the lock of a collection has a place, it says so.
    assert!(matches!(code("collect"), Some(0 | 5)), "{}", said("collect"));
    for step in ["second", "verify", "tidy"] {
        assert_eq!(code(step), Some(0), "{}", said(step));
    }
    assert_eq!(text("verify.out"), "", "{what}: findings");
    for step in ["first", "collect", "second", "verify", "tidy"] {
        assert!(!text(&format!("{step}.err")).contains("panicked"), "{}", said(step));
    }
    assert_eq!(text("left"), "", "{what}: temporary files");
    assert!(outputs(&answers.join("output")) == expected_outputs(), "{what}: other outputs");
    enough
}

/// What a build makes that has all the space in the world.
fn expected_outputs() -> &'static [(String, Vec<u8>)] {
    static MADE: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    MADE.get_or_init(|| outputs(&Sandbox::quick().path("output")))
}

/// All files below a folder, with their bytes.
fn outputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let relative = |path: &Path| path.strip_prefix(folder).unwrap().display().to_string();
    files(folder).into_iter().map(|path| (relative(&path), fs::read(&path).unwrap())).collect()
}

#[test]
fn a_full_disk_loses_nothing() {
    let Some(way) = mounts::way() else { return };
    let sandbox = Sandbox::new(TINY);
    let kilobytes = |sizes: &[u32]| -> Vec<String> { sizes.iter().map(|size| format!("size={size}k")).collect() };
    let inodes =
        |counts: &[u32]| -> Vec<String> { counts.iter().map(|count| format!("size=8m,nr_inodes={count}")).collect() };
    // From too little for the first file to enough for all; a page is 4 kB.
    let rows = [
        (Place::Store, "size=8m", kilobytes(&[4, 8, 16, 28, 40, 52, 64, 76, 88, 96, 104, 112, 120, 400])),
        (Place::Store, "nr_inodes=1000", inodes(&[2, 9, 13, 16, 18, 20, 23, 30, 34, 38, 42, 46, 300])),
        (Place::Output, "size=8m", kilobytes(&[4, 20, 28, 36, 200])),
        (Place::Output, "nr_inodes=1000", inodes(&[2, 4, 10, 16, 100])),
        (Place::Both, "size=8m", kilobytes(&[24, 72, 124, 144, 600])),
    ];
    let (mut full, mut enough) = (0, 0);
    for (place, room, sizes) in rows {
        let fits: Vec<bool> = sizes.iter().map(|small| try_with(way, &sandbox, place, small, room)).collect();
        assert_eq!(
            (fits.first(), fits.last()),
            (Some(&false), Some(&true)),
            "{place:?}: no size is too small, or enough"
        );
        full += fits.iter().filter(|fits| !*fits).count();
        enough += fits.iter().filter(|fits| **fits).count();
    }
    println!("{full} builds on a full disk, {enough} with enough space");
    assert!(full >= 30, "{full}");
}
