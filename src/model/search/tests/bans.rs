//! Tokens that may not be taken: repeated runs, and stops that come too early.

use proptest::prelude::*;

use super::*;

/// A search on the toy model.
#[derive(Clone, Debug)]
struct Case {
    config: DecodeConfig,
    max_tokens: usize,
    vocab: u32,
    stops: BTreeSet<u32>,
}

impl Case {
    fn toy(&self) -> Toy {
        Toy { vocab: self.vocab as usize }
    }

    fn search(&self, image: u32) -> Vec<Hypothesis> {
        self.toy().search(&[image], &self.config, self.max_tokens, &self.stops).remove(0)
    }

    /// The definition: no run of `no_repeat_ngram` tokens occurs twice, no stop stands before place `min_tokens`.
    fn follows(&self, ids: &[u32]) -> bool {
        let n = self.config.no_repeat_ngram;
        let runs: Vec<&[u32]> = if n == 0 { Vec::new() } else { ids.windows(n).collect() };
        let distinct: BTreeSet<&[u32]> = runs.iter().copied().collect();
        let early = ids.iter().take(self.config.min_tokens).any(|id| self.stops.contains(id));
        distinct.len() == runs.len() && !early
    }

    /// The tokens that may follow a sequence which follows the rules itself.
    fn allowed(&self, ids: &[u32]) -> Vec<u32> {
        (0..self.vocab).filter(|&id| self.follows(&[ids, &[id]].concat())).collect()
    }

    fn is_over(&self, ids: &[u32]) -> bool {
        let stopped = ids.last().is_some_and(|id| self.stops.contains(id));
        stopped || ids.len() == self.max_tokens || self.allowed(ids).is_empty()
    }

    /// Every sequence that could be found.
    fn all(&self) -> Vec<Vec<u32>> {
        let (mut whole, mut live) = (Vec::new(), vec![Vec::new()]);
        while let Some(ids) = live.pop() {
            if self.is_over(&ids) {
                whole.push(ids);
            } else {
                live.extend(self.allowed(&ids).into_iter().map(|id| [&ids[..], &[id]].concat()));
            }
        }
        whole
    }
}

/// Name, vocabulary, stops, three numbers.
type Row<'a> = (&'a str, u32, &'a [u32], usize, usize, usize);

prop_compose! {
    fn cases()(method in 0..METHODS.len(), count in 1..5_usize, max_tokens in 1..11_usize, vocab in 1..9_u32)(
        min_tokens in 0..=max_tokens,
        no_repeat_ngram in 0..4_usize,
        stops in prop::collection::btree_set(0..vocab, 0..3),
        (count, max_tokens, vocab, method) in Just((count, max_tokens, vocab, METHODS[method])),
    ) -> Case {
        let config = DecodeConfig { min_tokens, no_repeat_ngram, ..config(method, count) };
        Case { config, max_tokens, vocab, stops }
    }
}

proptest! {
    #[test]
    fn all_methods_keep_to_the_definition(case in cases(), image in 0..1000_u32) {
        let found = case.search(image);
        let most = case.config.n;
        prop_assert!((1..=most).contains(&found.len()));
        prop_assert!(case.config.method != Method::Sample || found.len() == most);
        for Hypothesis { ids, log_prob, stopped } in &found {
            prop_assert!(case.follows(ids), "{ids:?}");
            prop_assert!(case.is_over(ids), "{ids:?} could go on");
            prop_assert!((0..ids.len()).all(|end| !case.is_over(&ids[..end])), "{ids:?} goes on after its end");
            prop_assert_eq!(*stopped, ids.last().is_some_and(|id| case.stops.contains(id)));
            prop_assert!((log_prob - case.toy().log_prob(image, ids)).abs() < 1e-5, "a ban changes no probability");
        }
    }

    #[test]
    fn greedy_and_a_pool_of_one_take_the_best_allowed_token(case in cases(), image in 0..1000_u32) {
        let case = |method| Case { config: DecodeConfig {
            min_tokens: case.config.min_tokens,
            no_repeat_ngram: case.config.no_repeat_ngram,
            ..config(method, 1)
        }, ..case.clone() };
        let greedy = case(Method::Greedy);
        let mut ids = Vec::new();
        while !greedy.is_over(&ids) {
            let row = greedy.toy().row(image, &ids);
            // Of equals `max_by` takes the last, so the smaller id when they fall.
            let allowed = greedy.allowed(&ids).into_iter().rev();
            ids.extend(allowed.max_by(|a, b| row[*a as usize].total_cmp(&row[*b as usize])));
        }
        prop_assert_eq!(&greedy.search(image)[0].ids, &ids);
        prop_assert_eq!(&case(Method::BeamClipcap).search(image)[0].ids, &ids);
    }
}

/// With room for every sequence, beam search is exhaustive search.
#[test]
fn a_wide_beam_finds_the_best_sequences() {
    // The numbers: most tokens, least tokens, run that may not repeat. The last two rows hold sequences that may take no token.
    let rows: [Row<'_>; 7] = [
        ("no bans", 4, &[3], 4, 0, 0),
        ("no token twice", 4, &[3], 4, 0, 1),
        ("no pair twice", 3, &[2], 5, 0, 2),
        ("two tokens at least", 4, &[3], 4, 2, 0),
        ("both", 4, &[1, 3], 4, 1, 2),
        ("dead ends", 3, &[2], 5, 3, 1),
        ("dead ends of pairs", 2, &[], 7, 0, 2),
    ];
    for (name, vocab, stops, max_tokens, min_tokens, no_repeat_ngram) in rows {
        let config = DecodeConfig { n: 5, min_tokens, no_repeat_ngram, ..config(Method::Beam, 300) };
        let case = Case { config, max_tokens, vocab, stops: stops.iter().copied().collect() };
        assert_eq!(
            name.starts_with("dead"),
            case.all().iter().any(|ids| ids.len() < max_tokens && !ids.iter().any(|id| stops.contains(id))),
            "{name}"
        );
        for image in 0..8 {
            let mean = |ids: &Vec<u32>| case.toy().log_prob(image, ids) / ids.len() as f64;
            let mut best: Vec<f64> = case.all().iter().map(mean).collect();
            best.sort_by(|a, b| b.total_cmp(a));
            best.truncate(5);
            let found: Vec<Vec<u32>> = case.search(image).into_iter().map(|found| found.ids).collect();
            assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), best.len(), "{name}, image {image}");
            assert!(found.iter().all(|ids| case.follows(ids) && case.is_over(ids)), "{name}, image {image}");
            // Sequences may be worth the same.
            let close = |(ids, best): (&Vec<u32>, &f64)| (mean(ids) - best).abs() < 1e-6;
            assert!(found.iter().zip(&best).all(close), "{name}, image {image}: {found:?}");
        }
    }
}

/// A sequence that may take no token ends as it is, and is a result.
#[test]
fn where_all_is_banned_the_sequence_ends() {
    // The numbers: least tokens, run that may not repeat, length of what is found.
    let rows: [Row<'_>; 4] = [
        ("every token is a stop", 2, &[0, 1], 1, 0, 0),
        ("each token once", 3, &[], 0, 1, 3),
        ("no stop yet, no token left", 3, &[2], 9, 1, 2),
        ("one pair", 1, &[], 0, 2, 2),
    ];
    for (name, vocab, stops, min_tokens, no_repeat_ngram, length) in rows {
        for method in METHODS {
            let config = DecodeConfig { min_tokens, no_repeat_ngram, ..config(method, 2) };
            let case = Case { config, max_tokens: 9, vocab, stops: stops.iter().copied().collect() };
            let found = case.search(4);
            assert!(!found.is_empty(), "{name}, {method:?}");
            for found in found {
                assert_eq!((found.ids.len(), found.stopped), (length, false), "{name}, {method:?}: {found:?}");
                assert!(length > 0 || found.log_prob == 0.0, "{name}, {method:?}: {found:?}");
            }
        }
    }
}
