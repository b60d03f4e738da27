//! The beam of "show, attend and tell", on a model that is small enough to follow by hand.

use super::*;

const END: u32 = 0;

/// A model that knows only the last token: the probabilities of the end, of 1 and of 2 at the beginning, after 1, and after 2.
struct Bigrams;

impl Bigrams {
    fn predict(last: &[u32]) -> Logits {
        let rows: [[f32; 3]; 3] = [[0.2, 0.5, 0.3], [0.02, 0.9, 0.08], [0.5, 0.3, 0.2]];
        Logits::new(last.iter().flat_map(|last| rows[*last as usize]).map(f32::ln).collect(), 3)
    }
}

impl Decoder for Bigrams {
    type State = ();
    fn start(&self, _: &Tensor) -> Result<((), Logits)> {
        Ok(((), Self::predict(&[0])))
    }
    fn step(&self, (): &mut (), tokens: &[u32]) -> Result<Logits> {
        Ok(Self::predict(tokens))
    }
    fn select(&self, (): &mut (), _: &[usize]) -> Result<()> {
        Ok(())
    }
}

/// Sequences with their probabilities, in the order in which they are found.
type Found<'a> = &'a [(&'a [u32], f64)];

/// Expected: by hand. After 1 and 2 (0.5, 0.3) come 11 (0.45) and 2 END (0.15), before 21 (0.09) and 12 (0.04).
#[test]
fn what_is_finished_leaves_a_narrower_beam_and_comes_first() {
    let rows: [(&str, usize, usize, Found); 6] = [
        ("one beam", 1, 3, &[(&[1, 1, 1], 0.405)]),
        ("finished first", 2, 2, &[(&[2, END], 0.15), (&[1, 1], 0.45)]),
        // A beam that stayed two wide would also have 112 (0.036).
        ("narrower", 2, 3, &[(&[2, END], 0.15), (&[1, 1, 1], 0.405)]),
        ("the limit is at once", 2, 1, &[(&[1], 0.5), (&[2], 0.3)]),
        ("wider than the vocabulary", 5, 1, &[(&[END], 0.2), (&[1], 0.5), (&[2], 0.3)]),
        // END (0.2) leaves two: 11 (0.45) and 2 END (0.15) leave one: 111.
        ("best finished", 3, 3, &[(&[END], 0.2), (&[2, END], 0.15), (&[1, 1, 1], 0.405)]),
    ];
    for (name, width, max_tokens, wanted) in rows {
        let config = config(Method::BeamSetAside, width);
        let found = search(&Bigrams, &tensor(&[0]), &[0], &config, max_tokens, &BTreeSet::from([END])).unwrap();
        assert_eq!(found[0].len(), wanted.len(), "{name}: {found:?}");
        for (found, (ids, probability)) in found[0].iter().zip(wanted) {
            assert_eq!((&found.ids[..], found.stopped), (*ids, ids.ends_with(&[END])), "{name}");
            assert!((found.log_prob.exp() - probability).abs() < 1e-6, "{name}: {}", found.log_prob.exp());
        }
    }
}

/// A ban of everything ends a sequence, which then counts as finished.
#[test]
fn a_sequence_that_may_take_no_token_is_set_aside() {
    let config = DecodeConfig { no_repeat_ngram: 1, ..config(Method::BeamSetAside, 2) };
    let found = search(&Bigrams, &tensor(&[0]), &[0], &config, 9, &BTreeSet::new()).unwrap();
    // Of three tokens that may not repeat: 1 2 END 0.5 * 0.08 * 0.5, 2 1 END 0.3 * 0.3 * 0.02, 2 END 1 0.3 * 0.5 * 0.5.
    let ids: Vec<&[u32]> = found[0].iter().map(|found| &found.ids[..]).collect();
    assert_eq!(ids, [&[2, END, 1][..], &[2, 1, END]]);
    assert!(found[0].iter().all(|found| !found.stopped));
}
