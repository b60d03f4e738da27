//! `status` and `build --dry-run` say exactly what `build` then does, after any sequence of edits.
//!
//! A workspace is a value ([`World`]) that edits change; results, records, roots and views are harmed as well. After every
//! edit the plan is made and the build follows it: what was fresh does not run, what was stale does, what may run does so
//! exactly if there is no whole result under its key. After the last edit everything is compared with a build from
//! scratch in another folder, and the program says and does the same as the library.
//!
//! `RSIC_SEQUENCES=500 cargo test --release plan` tries that many other sequences.

mod cases;
mod edit;
mod follow;
mod world;

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use edit::{Edit, edits};
use follow::Course;
use world::{TARGETS, World};

/// A few targets, how they are built, and the edits.
#[derive(Clone, Debug)]
struct Story {
    targets: Vec<&'static str>,
    jobs: usize,
    keep_going: bool,
    edits: Vec<Edit>,
}

fn stories() -> impl Strategy<Value = Story> {
    let targets = prop::sample::subsequence(TARGETS.to_vec(), 1..4);
    (targets, 1..3_usize, any::<bool>(), prop::collection::vec(edits(), 6))
        .prop_map(|(targets, jobs, keep_going, edits)| Story { targets, jobs, keep_going, edits })
}

/// What has to occur, or the sequences are too tame.
const EXPECTED: [&str; 11] = [
    "Fresh -> Fresh",
    "Fresh -> Built",
    "Restorable -> Restored",
    "Modified -> Restored",
    "Stale -> Built",
    "Stale -> Failed",
    "Maybe -> Built",
    "Maybe -> Fresh",
    "Maybe -> Restored",
    "Blocked -> Failed",
    "Blocked -> Skipped",
];

#[test]
fn a_build_does_what_the_plan_says() {
    let wanted = std::env::var("RSIC_SEQUENCES").ok().map(|text| text.parse().unwrap());
    let cases = wanted.unwrap_or(60);
    let config = Config { cases, max_shrink_iters: 400, failure_persistence: None, ..Config::default() };
    let rng = match wanted {
        None => TestRng::deterministic_rng(RngAlgorithm::ChaCha),
        Some(_) => TestRunner::new(config.clone()).new_rng(),
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let seen = RefCell::new(BTreeMap::<String, usize>::new());
    let result = runner.run(&stories(), |story| {
        let mut course = Course::new(World::new(), &story.targets, story.jobs, story.keep_going);
        let told = |step: &str, course: &Course, said: Result<(), String>| {
            for what in course.last.borrow().values() {
                *seen.borrow_mut().entry(what.clone()).or_default() += 1;
            }
            said.map_err(|why| TestCaseError::fail(format!("{step}: {why}")))
        };
        told("at first", &course, course.build())?;
        for edit in &story.edits {
            course.edit(edit);
            told(&format!("after {edit:?}"), &course, course.build())?;
        }
        told("by the program", &course, course.build_by_the_program())?;
        course.compare_with_scratch().map_err(TestCaseError::fail)
    });
    if let Err(TestError::Fail(why, story)) = &result {
        panic!("{why}\n{story:#?}");
    }
    result.unwrap();
    println!("{:#?}", seen.borrow());
    for what in EXPECTED {
        assert!(seen.borrow().contains_key(what), "no node went {what}");
    }
}
