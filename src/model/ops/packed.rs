//! Products with packed weights, for inference only.

use candle_core::{Result, Tensor, bail};

use super::{rows_of, tensor, values};
use crate::model::kernel::{Mat, MatMut, Packed, Start, gemm_packed};

/// Multiplies every row of `x` (`[.., in]`) by a packed weight and adds the bias (`[out]`); returns `[.., out]`.
///
/// The bits are those of [`linear`](super::linear) and [`matmul`](super::matmul); there is no way back to gradients.
pub fn linear_packed(x: &Tensor, weight: &Packed, bias: Option<&Tensor>) -> Result<Tensor> {
    let x = x.contiguous()?;
    let (rows, inputs) = rows_of(x.shape())?;
    let outputs = weight.outputs();
    if inputs != weight.inputs() || bias.is_some_and(|bias| bias.dims() != [outputs]) {
        bail!("rows of {inputs} for a weight of {} x {outputs}", weight.inputs());
    }
    let bias = bias.map(values).transpose()?;
    let start = bias.as_ref().map_or(Start::Zero, |bias| Start::Bias(bias));
    let mut out = vec![0.0; rows * outputs];
    gemm_packed(Mat::new(&values(&x)?, rows, inputs), weight, MatMut::new(&mut out, rows, outputs), start);
    let mut dims = x.dims().to_vec();
    dims.pop();
    dims.push(outputs);
    tensor(out, dims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::init::Init;
    use crate::model::ops::{Grad, Stored, linear};

    #[test]
    fn packing_changes_no_bit() {
        let draw = |name: &str, shape: &[usize]| Init::Normal(1.0).tensor(1, name, shape).unwrap();
        for (rows, inputs, outputs) in [(1, 5, 3), (2, 300, 70), (40, 513, 33)] {
            let (x, w, b) = (draw("x", &[rows, 1, inputs]), draw("w", &[inputs, outputs]), draw("b", &[outputs]));
            let packed = Packed::new(Mat::new(&values(&w).unwrap(), inputs, outputs));
            let got = linear_packed(&x, &packed, Some(&b)).unwrap();
            let wanted = linear(&x, &w, Some(&b), Stored::InOut, Grad::InputOnly).unwrap();
            assert_eq!(got.dims(), wanted.dims());
            assert_eq!(*values(&got).unwrap(), *values(&wanted).unwrap());
        }
        assert!(linear_packed(&draw("x", &[2, 4]), &Packed::new(Mat::new(&[0.0; 6], 3, 2)), None).is_err());
    }
}
