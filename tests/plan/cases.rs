//! Plans and what came of them, where that is easily got wrong: each row once was, or might be.

use super::edit::{Edit, Harm};
use super::follow::Course;
use super::world::{Picture, Style, World};

struct Case {
    name: &'static str,
    targets: &'static [&'static str],
    /// Edits, with a build after each group.
    edits: &'static [&'static [Edit]],
    /// What the plan says of some nodes after the last group, and what the build then does.
    expected: &'static [(&'static str, &'static str)],
}

const REWRITTEN: Edit = Edit::AnnotationStyle(0, Style::Spaced);
const RESAMPLES: usize = 0;

/// Expected: by thinking through what has a result in the store under which key.
const CASES: &[Case] = &[
    Case {
        name: "a parameter is set back while the file before is read anew",
        targets: &["score/a_constant"],
        edits: &[&[Edit::Setting(RESAMPLES, 1)], &[Edit::Setting(RESAMPLES, 0), REWRITTEN]],
        expected: &[
            ("annotations/a", "Stale -> Built"),
            ("caption/a_constant", "Maybe -> Fresh"),
            ("score/a_constant", "Maybe -> Restored"),
        ],
    },
    Case {
        name: "a new parameter while the file before is read anew",
        targets: &["score/a_constant"],
        edits: &[&[Edit::Setting(RESAMPLES, 1), REWRITTEN]],
        expected: &[("caption/a_constant", "Maybe -> Fresh"), ("score/a_constant", "Stale -> Built")],
    },
    Case {
        name: "nobody remembers what was built, and the file before is read anew",
        targets: &["score/a_constant"],
        edits: &[&[Edit::Forget("roots"), REWRITTEN]],
        expected: &[("annotations/a", "Stale -> Built"), ("score/a_constant", "Maybe -> Restored")],
    },
    Case {
        name: "nobody remembers what was built",
        targets: &["score/a_constant"],
        edits: &[&[Edit::Forget("roots")]],
        expected: &[("annotations/a", "Restorable -> Restored"), ("score/a_constant", "Restorable -> Restored")],
    },
    Case {
        name: "an image changed while the annotations before are read anew",
        targets: &["ingest/a"],
        edits: &[&[Edit::Picture(0, Picture::SavedAnew), REWRITTEN]],
        expected: &[("ingest/a", "Stale -> Built")],
    },
    Case {
        name: "an image changed and nothing else",
        targets: &["score/a_knn"],
        edits: &[&[Edit::Picture(0, Picture::SavedAnew)]],
        expected: &[
            ("annotations/a", "Fresh -> Fresh"),
            ("ingest/a", "Stale -> Built"),
            ("embed/a", "Maybe -> Fresh"),
            ("score/a_knn", "Maybe -> Fresh"),
        ],
    },
    Case {
        name: "two nodes do the same work",
        targets: &["caption/a_mlp", "caption/a_twin"],
        edits: &[&[]],
        expected: &[
            ("train/a_mlp", "Stale -> Built"),
            ("train/a_twin", "Maybe -> Restored"),
            ("caption/a_twin", "Maybe -> Restored"),
        ],
    },
    Case {
        name: "a kill between a result and the end of its unfinished work",
        targets: &["caption/a_constant"],
        edits: &[&[Edit::LeftOver(0), Edit::LeftOver(1)]],
        expected: &[("annotations/a", "Fresh -> Fresh"), ("caption/a_constant", "Fresh -> Fresh")],
    },
    Case {
        name: "objects lost",
        targets: &["score/a_constant"],
        edits: &[&[Edit::Forget("objects")]],
        expected: &[("annotations/a", "Stale -> Built"), ("score/a_constant", "Stale -> Built")],
    },
    Case {
        name: "objects lost that two nodes have under one key, from files of different bytes",
        targets: &["ingest/a", "ingest/b"],
        edits: &[&[Edit::Forget("objects")]],
        expected: &[("ingest/a", "Stale -> Built"), ("ingest/b", "Maybe -> Fresh")],
    },
    Case {
        name: "records lost that two nodes have under one key",
        targets: &["ingest/a", "ingest/b"],
        edits: &[&[Edit::Forget("actions")]],
        expected: &[("ingest/a", "Stale -> Built"), ("ingest/b", "Maybe -> Fresh")],
    },
    Case {
        // What the two files have in common shows when they are read.
        name: "two files of different bytes and equal content, never read",
        targets: &["ingest/a", "ingest/b"],
        edits: &[&[]],
        expected: &[("ingest/a", "Stale -> Built"), ("ingest/b", "Stale -> Restored")],
    },
    Case {
        name: "a stage runs, then wrong bytes make the build begin again",
        targets: &["annotations/a", "score/b_constant"],
        edits: &[&[Edit::Rot, REWRITTEN, Edit::Setting(RESAMPLES, 1)]],
        expected: &[
            ("annotations/a", "Stale -> Built"),
            ("annotations/b", "Fresh -> Built"),
            ("score/b_constant", "Stale -> Built"),
        ],
    },
    Case {
        name: "a view removed",
        targets: &["annotations/a"],
        edits: &[&[Edit::View(0, Harm::Gone)]],
        expected: &[("annotations/a", "Restorable -> Restored")],
    },
    Case {
        name: "records lost",
        targets: &["score/a_constant"],
        edits: &[&[Edit::Forget("actions")]],
        expected: &[("annotations/a", "Stale -> Built"), ("score/a_constant", "Stale -> Built")],
    },
    Case {
        // The only thing that a plan cannot see: it looks at sizes, and whoever reads looks at bytes.
        name: "bytes of results are wrong, and a later stage reads them",
        targets: &["score/a_constant"],
        edits: &[&[Edit::Rot, Edit::Setting(RESAMPLES, 1)]],
        expected: &[
            ("annotations/a", "Fresh -> Built"),
            ("caption/a_constant", "Fresh -> Built"),
            ("score/a_constant", "Stale -> Built"),
        ],
    },
    Case {
        name: "bytes of results are wrong, and nobody reads them",
        targets: &["score/a_constant"],
        edits: &[&[Edit::Rot]],
        expected: &[("annotations/a", "Fresh -> Fresh"), ("score/a_constant", "Fresh -> Fresh")],
    },
    Case {
        name: "a view edited",
        targets: &["annotations/a"],
        edits: &[&[Edit::View(0, Harm::Flipped)]],
        expected: &[("annotations/a", "Modified -> Restored")],
    },
];

#[test]
fn plans_and_what_came_of_them() {
    for case in CASES {
        let mut course = Course::new(World::new(), case.targets, 1, false);
        // Where the plan is of the first build, nothing is built before it.
        let prepared = if case.edits[0].is_empty() { Ok(()) } else { course.build() };
        prepared.unwrap_or_else(|why| panic!("{}: {why}", case.name));
        for group in case.edits {
            for edit in *group {
                course.edit(edit);
            }
            course.build().unwrap_or_else(|why| panic!("{}: {why}", case.name));
        }
        for (node, expected) in case.expected {
            let last = course.last.borrow();
            assert_eq!(last.get(*node).map(String::as_str), Some(*expected), "{}: {node}: {last:?}", case.name);
        }
    }
}
