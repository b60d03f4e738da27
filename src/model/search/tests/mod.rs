use candle_core::{DType, Device};

use super::*;

mod bans;
mod golden;
mod sample;
mod set_aside;
mod settings;

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

    /// What is found for `images`, which are called by their own numbers.
    fn search(
        &self,
        images: &[u32],
        config: &DecodeConfig,
        max_tokens: usize,
        stops: &BTreeSet<u32>,
    ) -> Vec<Vec<Hypothesis>> {
        search(self, &tensor(images), images, config, max_tokens, stops).unwrap()
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

fn tensor(images: &[u32]) -> Tensor {
    Tensor::new(images, &Device::Cpu).unwrap()
}

const METHODS: [Method; 5] = [Method::Greedy, Method::Beam, Method::BeamClipcap, Method::BeamSetAside, Method::Sample];

/// All of `count` sequences, if the method can find more than one.
fn config(method: Method, count: usize) -> DecodeConfig {
    let default = DecodeConfig { method, ..DecodeConfig::default() };
    match method {
        Method::Greedy => default,
        Method::Beam | Method::BeamClipcap | Method::BeamSetAside => DecodeConfig { width: count, n: count, ..default },
        Method::Sample => DecodeConfig { n: count, ..default },
    }
}

#[test]
fn the_batch_changes_nothing() {
    let (toy, stops) = (Toy { vocab: 23 }, BTreeSet::from([0, 7]));
    let images: Vec<u32> = (0..7).collect();
    for method in METHODS {
        let config = config(method, 4);
        let together = toy.search(&images, &config, 12, &stops);
        for (image, row) in images.iter().zip(&together) {
            assert_eq!(toy.search(&[*image], &config, 12, &stops)[0], *row, "{method:?}, image {image}");
        }
        assert!(together.iter().any(|row| row[0].stopped), "{method:?}");
        assert!(together.iter().any(|row| row[0] != together[0][0]), "{method:?}: all images are alike");
    }
}

#[test]
fn sums_are_those_of_the_model_and_stops_are_kept() {
    let (toy, stops) = (Toy { vocab: 23 }, BTreeSet::from([0, 7]));
    for method in METHODS {
        let found = toy.search(&[3, 4, 5], &config(method, 3), 9, &stops);
        for (image, row) in (3..).zip(&found) {
            assert_eq!(row.len(), if method == Method::Greedy { 1 } else { 3 }, "{method:?}");
            for hypothesis in row {
                let ids = &hypothesis.ids;
                assert!((toy.log_prob(image, ids) - hypothesis.log_prob).abs() < 1e-5, "{method:?}");
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
    let run = |method| toy.search(&[0, 1, 2], &config(method, 1), 8, &stops);
    assert_eq!(run(Method::Greedy), run(Method::BeamClipcap));
    assert_eq!(run(Method::Greedy), run(Method::BeamSetAside));
}

#[test]
fn fewer_captions_are_the_first_of_more() {
    let (toy, stops) = (Toy { vocab: 11 }, BTreeSet::from([2]));
    for method in [Method::Beam, Method::BeamClipcap, Method::BeamSetAside, Method::Sample] {
        let all = config(method, 4);
        let found = toy.search(&[0, 1, 2], &all, 8, &stops);
        for n in 1..4 {
            let fewer = toy.search(&[0, 1, 2], &DecodeConfig { n, ..all.clone() }, 8, &stops);
            for (fewer, found) in fewer.iter().zip(&found) {
                assert_eq!(*fewer, found[..n], "{method:?}, {n}");
            }
        }
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
fn damaged_models_and_images_without_names_are_refused() {
    for method in METHODS {
        let error = search(&Broken, &tensor(&[0]), &[0], &config(method, 2), 4, &BTreeSet::new()).unwrap_err();
        assert!(error.to_string().contains("NaN"), "{method:?}: {error}");
    }
    let (toy, beam) = (Toy { vocab: 4 }, config(Method::Beam, 2));
    let error = search(&toy, &tensor(&[0, 1]), &[0], &beam, 4, &BTreeSet::new()).unwrap_err();
    assert_eq!(error.to_string(), "1 image ids for 2 images");
    let none = Tensor::zeros(0, DType::U32, &Device::Cpu).unwrap();
    assert!(search(&toy, &none, &[], &beam, 4, &BTreeSet::new()).unwrap().is_empty());
}
