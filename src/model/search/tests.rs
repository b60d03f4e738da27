use candle_core::{DType, Device};

use super::*;

/// A model whose every distribution is a function of the image and all tokens so far.
struct Toy {
    vocab: usize,
}

impl Toy {
    fn row(&self, image: u32, history: &[u32]) -> Vec<f32> {
        let mut seed = blake3::Hasher::new();
        seed.update(&image.to_le_bytes());
        for id in history {
            seed.update(&id.to_le_bytes());
        }
        let mut bytes = vec![0; self.vocab];
        seed.finalize_xof().fill(&mut bytes);
        bytes.into_iter().map(|byte| f32::from(byte) / 64.0).collect()
    }

    fn predict(&self, rows: &[(u32, Vec<u32>)]) -> Logits {
        Logits::new(rows.iter().flat_map(|(image, history)| self.row(*image, history)).collect(), self.vocab)
    }

    /// The log-probability of a whole sequence.
    fn log_prob(&self, image: u32, ids: &[u32]) -> f64 {
        let term = |at: usize| {
            let row = self.row(image, &ids[..at]);
            let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
            f64::from(row[ids[at] as usize]) - sum.ln()
        };
        (0..ids.len()).map(term).sum()
    }
}

impl Decoder for Toy {
    type State = Vec<(u32, Vec<u32>)>;

    fn start(&self, input: &Tensor) -> Result<(Self::State, Logits)> {
        let state: Self::State = input.to_vec1::<u32>()?.into_iter().map(|image| (image, Vec::new())).collect();
        let logits = self.predict(&state);
        Ok((state, logits))
    }

    fn step(&self, state: &mut Self::State, tokens: &[u32]) -> Result<Logits> {
        assert_eq!(state.len(), tokens.len());
        state.iter_mut().zip(tokens).for_each(|(row, token)| row.1.push(*token));
        Ok(self.predict(state))
    }

    fn select(&self, state: &mut Self::State, rows: &[usize]) -> Result<()> {
        *state = rows.iter().map(|row| state[*row].clone()).collect();
        Ok(())
    }
}

fn images(ids: &[u32]) -> Tensor {
    Tensor::new(ids, &Device::Cpu).unwrap()
}

fn config(method: Method, width: usize, max_tokens: usize) -> DecodeConfig {
    DecodeConfig { method, width, max_tokens, ..DecodeConfig::default() }
}

const METHODS: [Method; 3] = [Method::Greedy, Method::Beam, Method::BeamClipcap];

#[test]
fn the_batch_changes_nothing() {
    let (toy, stops) = (Toy { vocab: 23 }, BTreeSet::from([0, 7]));
    let ids: Vec<u32> = (0..7).collect();
    for method in METHODS {
        let config = config(method, 4, 12);
        let together = search(&toy, &images(&ids), &config, &stops).unwrap();
        for (id, row) in ids.iter().zip(&together) {
            let alone = search(&toy, &images(&[*id]), &config, &stops).unwrap();
            assert_eq!(alone[0], *row, "{method:?}, image {id}");
        }
        assert!(together.iter().any(|row| row[0].stopped), "{method:?}");
    }
}

#[test]
fn sums_are_those_of_the_model_and_stops_are_kept() {
    let (toy, stops) = (Toy { vocab: 23 }, BTreeSet::from([0, 7]));
    for method in METHODS {
        for (image, row) in search(&toy, &images(&[3, 4, 5]), &config(method, 3, 9), &stops).unwrap().iter().enumerate()
        {
            for hypothesis in row {
                let ids = &hypothesis.ids;
                assert!((toy.log_prob(image as u32 + 3, ids) - hypothesis.log_prob).abs() < 1e-5, "{method:?}");
                assert_eq!(hypothesis.stopped, stops.contains(ids.last().unwrap()), "{method:?} {ids:?}");
                assert!(hypothesis.stopped || ids.len() == 9, "{method:?} {ids:?}");
                assert!(ids[..ids.len() - 1].iter().all(|id| !stops.contains(id)), "{method:?} {ids:?}");
            }
        }
    }
}

#[test]
fn one_beam_is_greedy() {
    let (toy, stops) = (Toy { vocab: 11 }, BTreeSet::from([2]));
    let run = |method| search(&toy, &images(&[0, 1, 2]), &config(method, 1, 8), &stops).unwrap();
    assert_eq!(run(Method::Greedy), run(Method::BeamClipcap));
}

/// With room for every sequence, beam search is exhaustive search.
#[test]
fn a_wide_beam_finds_the_best_sequence() {
    let (toy, stops) = (Toy { vocab: 4 }, BTreeSet::from([3]));
    for image in 0..8 {
        let mut all: Vec<Vec<u32>> = vec![Vec::new()];
        let mut whole = Vec::new();
        for length in 1..=4 {
            let longer = all.iter().flat_map(|ids| (0..4).map(|id| [&ids[..], &[id]].concat()));
            let (done, live): (Vec<_>, Vec<_>) = longer.partition(|ids: &Vec<u32>| ids.ends_with(&[3]) || length == 4);
            whole.extend(done);
            all = live;
        }
        let mean = |ids: &Vec<u32>| toy.log_prob(image, ids) / ids.len() as f64;
        let best = whole.into_iter().max_by(|a, b| mean(a).total_cmp(&mean(b))).unwrap();
        let found = search(&toy, &images(&[image]), &config(Method::Beam, 300, 4), &stops).unwrap();
        assert_eq!(found[0][0].ids, best, "image {image}");
    }
}

/// A model whose weights are damaged.
struct Broken;
impl Decoder for Broken {
    type State = ();
    fn start(&self, _: &Tensor) -> Result<((), Logits)> {
        Ok(((), Logits::new(vec![0.0, f32::NAN, 1.0], 3)))
    }
    fn step(&self, (): &mut (), _: &[u32]) -> Result<Logits> {
        unreachable!("the first prediction fails")
    }
    fn select(&self, (): &mut (), _: &[usize]) -> Result<()> {
        Ok(())
    }
}

#[test]
fn impossible_settings_and_damaged_models_are_refused() {
    let toy = Toy { vocab: 4 };
    let run = |config: &DecodeConfig| search(&toy, &images(&[0]), config, &BTreeSet::new()).unwrap_err().to_string();
    assert!(run(&config(Method::Beam, 0, 4)).contains("at least 1"));
    assert!(run(&config(Method::Greedy, 1, 0)).contains("at least 1"));

    for method in METHODS {
        let error = search(&Broken, &images(&[0]), &config(method, 2, 4), &BTreeSet::new()).unwrap_err();
        assert!(error.to_string().contains("NaN"), "{method:?}: {error}");
    }
    let none = Tensor::zeros(0, DType::U32, &Device::Cpu).unwrap();
    assert!(search(&toy, &none, &config(Method::Beam, 2, 4), &BTreeSet::new()).unwrap().is_empty());
}
