use std::cell::Cell;
use std::fs::FileTimes;
use std::os::unix::fs::symlink;
use std::time::{Duration, UNIX_EPOCH};

use super::*;

/// A clock an hour ahead: everything the test wrote is settled.
fn later() -> u128 {
    file::now() + 3_600_000_000_000
}

/// Something that happens to the file.
type Change<'a> = &'a dyn Fn(&Place);

struct Place {
    dir: tempfile::TempDir,
    stat: StatCache,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let stat = StatCache { clock: later, ..StatCache::open(&dir.path().join("stat.txt")) };
    fs::write(dir.path().join("a"), "one").unwrap();
    Place { dir, stat }
}

impl Place {
    fn path(&self) -> PathBuf {
        self.dir.path().join("a")
    }

    /// The size of the file, and whether it was read to find out.
    fn size(&self) -> (usize, bool) {
        let read = Cell::new(false);
        let size = self.stat.remember(&self.path(), "size 1", |bytes| {
            read.set(true);
            bytes.len()
        });
        (size.unwrap(), read.get())
    }
}

#[test]
fn a_file_is_read_again_exactly_when_it_changed() {
    let at = |seconds| FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(seconds));
    let times = |place: &Place, seconds| File::options().write(true).open(place.path()).unwrap().set_times(at(seconds));
    let cases: [(&str, bool, Change); 7] = [
        ("nothing", false, &|_| ()),
        ("another size", true, &|p| fs::write(p.path(), "three").unwrap()),
        ("same size, same mtime: ctime tells", true, &|p| {
            fs::write(p.path(), "two").unwrap();
            times(p, 1000).unwrap();
        }),
        ("touched", true, &|p| times(p, 2000).unwrap()),
        ("replaced by a copy with the same times", true, &|p| {
            let copy = p.dir.path().join("copy");
            fs::write(&copy, "two").unwrap();
            File::options().write(true).open(&copy).unwrap().set_times(at(1000)).unwrap();
            fs::rename(copy, p.path()).unwrap();
        }),
        ("now a link to another file", true, &|p| {
            fs::write(p.dir.path().join("b"), "two").unwrap();
            fs::remove_file(p.path()).unwrap();
            symlink(p.dir.path().join("b"), p.path()).unwrap();
        }),
        ("another file", false, &|p| fs::write(p.dir.path().join("b"), "two").unwrap()),
    ];
    for (name, read_again, change) in cases {
        let place = place();
        times(&place, 1000).unwrap();
        assert_eq!(place.size(), (3, true), "{name}");
        assert_eq!(place.size(), (3, false), "{name}");
        std::thread::sleep(Duration::from_millis(10)); // one tick of the file system's clock
        change(&place);
        assert_eq!(place.size().1, read_again, "{name}");
    }
}

#[test]
fn a_file_written_just_now_is_not_remembered() {
    let place = Place { stat: StatCache { clock: file::now, ..place().stat }, ..place() };
    assert!(place.size().1);
    assert!(place.size().1, "it could have changed within the same tick");
    let future = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_hours(2_500_000));
    let place = self::place();
    File::options().write(true).open(place.path()).unwrap().set_times(future).unwrap();
    assert!(place.size().1);
    assert!(place.size().1, "a clock that is wrong is not trusted");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_an_error() {
    let cases: [(&str, Change); 3] = [
        ("written", &|p| fs::write(p.path(), "longer").unwrap()),
        ("replaced", &|p| {
            fs::write(p.dir.path().join("b"), "two").unwrap();
            fs::rename(p.dir.path().join("b"), p.path()).unwrap();
        }),
        ("removed", &|p| fs::remove_file(p.path()).unwrap()),
    ];
    for (name, change) in cases {
        let place = place();
        let error = place.stat.remember(&place.path(), "x", |_| change(&place)).unwrap_err();
        assert!(matches!(&error, CacheError::ChangedWhileRead(path) if *path == place.path()), "{name}: {error}");
        assert!(place.stat.memory().facts.is_empty(), "{name}");
    }
}

#[test]
fn what_was_saved_is_known_next_time() {
    let place = place();
    let digest = place.stat.digest_file(&place.path()).unwrap();
    assert_eq!(digest, Digest::of(b"one"));
    assert!(place.size().1);
    place.stat.save().unwrap();
    let place = Place { stat: StatCache { clock: later, ..StatCache::open(&place.stat.file) }, ..place };
    assert_eq!(place.size(), (3, false), "kinds do not disturb each other");
    assert_eq!(place.stat.digest_file(&place.path()).unwrap(), digest);
    assert!(!place.stat.memory().dirty);
}

#[test]
fn a_damaged_file_is_empty() {
    let place = place();
    place.size();
    place.stat.save().unwrap();
    let whole = fs::read(&place.stat.file).unwrap();
    assert_eq!(load(&place.stat.file).len(), 1);
    for damage in [&whole[..whole.len() / 2], &whole[..whole.len() - 1], b"", b"\xff\xfe", &vec![0; whole.len()]] {
        fs::write(&place.stat.file, damage).unwrap();
        assert!(load(&place.stat.file).is_empty(), "{damage:?}");
    }
}

#[test]
fn saving_keeps_what_others_learned_and_forgets_lost_files() {
    let place = place();
    let others = StatCache { clock: later, ..StatCache::open(&place.stat.file) };
    let lost = place.dir.path().join("lost");
    let kept = place.dir.path().join("kept");
    for path in [&lost, &kept] {
        fs::write(path, "x").unwrap();
        others.digest_file(path).unwrap();
    }
    others.save().unwrap();
    fs::remove_file(&lost).unwrap();
    place.size();
    place.stat.save().unwrap();
    let known: Vec<PathBuf> = load(&place.stat.file).into_keys().map(|slot| slot.path.into()).collect();
    assert_eq!(known, [place.path(), kept]);
}

#[test]
fn saving_creates_no_folder() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), "one").unwrap();
    let stat = StatCache { clock: later, ..StatCache::open(&dir.path().join("cache/stat.txt")) };
    stat.digest_file(&dir.path().join("a")).unwrap();
    stat.save().unwrap();
    assert!(!dir.path().join("cache").exists());
}

#[test]
fn many_files_come_back_in_order_each_with_its_own_error() {
    let place = place();
    let paths: Vec<PathBuf> = (0..100).map(|i| place.dir.path().join(format!("many{i}"))).collect();
    for (i, path) in paths.iter().enumerate().filter(|(i, _)| i % 10 != 3) {
        fs::write(path, i.to_string()).unwrap();
    }
    let lengths = place.stat.remember_all(&paths, "text 1", |bytes| String::from_utf8(bytes.to_vec()).unwrap());
    let digests = place.stat.digest_files(&paths);
    for (i, (length, digest)) in lengths.into_iter().zip(digests).enumerate() {
        match length {
            Ok(text) => {
                assert_eq!(text, i.to_string());
                assert_eq!(digest.unwrap(), Digest::of(text.as_bytes()));
            }
            Err(error) => assert!(i % 10 == 3 && error.to_string().contains(&format!("many{i}")), "{error}"),
        }
    }
}
