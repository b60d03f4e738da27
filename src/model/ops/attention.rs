//! Scaled dot-product attention over several heads, without transposed copies.

use std::sync::Mutex;

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, StorageRef, Tensor, bail,
};
use rayon::prelude::*;

use super::{argument, result, tensor, values};
use crate::model::kernel::{Mat, MatMut, Start, gemm_serial, rows};

/// Which keys a query sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masking {
    /// Query `i` sees keys `0..=i + (keys - queries)`: the last query sees all, as with a cache of earlier keys.
    pub causal: bool,
    /// If given, how many keys of each batch row are real; the others are not seen.
    pub lengths: Option<Vec<usize>>,
}

impl Masking {
    /// No mask at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Only the past.
    pub fn causal() -> Self {
        Self { causal: true, lengths: None }
    }

    /// How many keys query `i` of batch row `row` sees.
    fn visible(&self, row: usize, i: usize, queries: usize, keys: usize) -> usize {
        let past = if self.causal { i + 1 + keys - queries } else { keys };
        self.lengths.as_ref().map_or(past, |lengths| past.min(lengths[row]))
    }
}

/// Attention of `q` (`[b, tq, heads * dh]`) over `k` and `v` (`[b, tk, heads * dh]`), scaled by `dh^-1/2`; returns the shape of `q`.
///
/// The arguments may be views of larger tensors as long as their last dimension is contiguous.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, masking: Masking) -> Result<Tensor> {
    let op = Attention::new(heads, masking, q.track_op() || k.track_op() || v.track_op());
    unit(q)?.apply_op3(&unit(k)?, &unit(v)?, op)
}

/// [`attention`] with keys and values side by side: `kv` is `[b, tk, 2 * heads * dh]`.
pub fn attention_kv(q: &Tensor, kv: &Tensor, heads: usize, masking: Masking) -> Result<Tensor> {
    let op = Attention::new(heads, masking, q.track_op() || kv.track_op());
    unit(q)?.apply_op2(&unit(kv)?, op)
}

/// [`attention`] of a sequence over itself, with queries, keys and values side by side: `qkv` is `[b, t, 3 * heads * dh]`.
pub fn attention_qkv(qkv: &Tensor, heads: usize, masking: Masking) -> Result<Tensor> {
    unit(qkv)?.apply_op1(Attention::new(heads, masking, qkv.track_op()))
}

/// The tensor, copied if its last dimension is not contiguous.
fn unit(x: &Tensor) -> Result<Tensor> {
    if x.stride().last() == Some(&1) { Ok(x.clone()) } else { x.contiguous() }
}

struct Attention {
    heads: usize,
    masking: Masking,
    keep: bool,
    /// The probabilities of the forward pass, `[b, heads, tq, tk]`, for the backward pass.
    probabilities: Mutex<Vec<f32>>,
}

/// A batch of matrices within larger ones.
#[derive(Clone, Copy)]
struct View<'a> {
    data: &'a [f32],
    batch_stride: usize,
    row_stride: usize,
}

impl<'a> View<'a> {
    fn of(storage: &'a CpuStorage, layout: &Layout) -> Result<Self> {
        layout.shape().dims3()?;
        let stride = layout.stride();
        Ok(Self { data: argument(storage, layout)?, batch_stride: stride[0], row_stride: stride[1] })
    }

    fn contiguous(data: &'a [f32], rows: usize, width: usize) -> Self {
        Self { data, batch_stride: rows * width, row_stride: width }
    }

    fn shifted(self, columns: usize) -> Self {
        Self { data: &self.data[columns.min(self.data.len())..], ..self }
    }

    fn head(self, batch: usize, head: usize, size: Size, rows: usize) -> Mat<'a> {
        let at = batch * self.batch_stride + head * size.dh;
        Mat::strided(&self.data[at..], rows, size.dh, self.row_stride)
    }
}

/// The sizes of one call.
#[derive(Clone, Copy)]
struct Size {
    batch: usize,
    queries: usize,
    keys: usize,
    dh: usize,
    heads: usize,
}

impl Size {
    fn width(self) -> usize {
        self.heads * self.dh
    }

    fn scale(self) -> f32 {
        1.0 / (self.dh as f32).sqrt()
    }
}

/// Where one gradient of one batch row goes: row-major, rows `stride` apart.
struct Target<'a> {
    data: &'a mut [f32],
    stride: usize,
}

impl Target<'_> {
    fn head(&mut self, head: usize, size: Size, rows: usize) -> MatMut<'_> {
        MatMut::strided(&mut self.data[head * size.dh..], rows, size.dh, self.stride)
    }
}

impl Attention {
    fn new(heads: usize, masking: Masking, keep: bool) -> Self {
        Self { heads, masking, keep, probabilities: Mutex::default() }
    }

    fn size(&self, q: (usize, usize, usize), k: (usize, usize, usize)) -> Result<Size> {
        let (batch, queries, width) = q;
        if k.0 != batch || k.2 != width || self.heads == 0 || width % self.heads != 0 {
            bail!("attention of {q:?} over {k:?} with {} heads", self.heads);
        }
        if self.masking.causal && queries > k.1 {
            bail!("{queries} causal queries over {} keys", k.1);
        }
        if self.masking.lengths.as_ref().is_some_and(|lengths| lengths.len() != batch) {
            bail!("attention needs one length per batch row");
        }
        Ok(Size { batch, queries, keys: k.1, dh: width / self.heads, heads: self.heads })
    }

    fn forward(&self, size: Size, q: View, k: View, v: View) -> (CpuStorage, Shape) {
        let (tq, tk) = (size.queries, size.keys);
        let one = tq * tk;
        let mut out = vec![0.0; size.batch * tq * size.width()];
        let mut kept = if self.keep { vec![0.0; size.batch * size.heads * one] } else { Vec::new() };
        let row = |batch: usize, out: &mut [f32], kept: &mut [f32]| {
            let mut own = if kept.is_empty() { vec![0.0; one] } else { Vec::new() };
            for head in 0..size.heads {
                let p = if kept.is_empty() { &mut own[..] } else { &mut kept[head * one..(head + 1) * one] };
                gemm_serial(
                    q.head(batch, head, size, tq),
                    k.head(batch, head, size, tk).t(),
                    MatMut::new(p, tq, tk),
                    Start::Zero,
                );
                for (i, p) in p.chunks_mut(tk).enumerate() {
                    let (seen, hidden) = p.split_at_mut(self.masking.visible(batch, i, tq, tk));
                    rows::softmax(seen, size.scale());
                    hidden.fill(0.0);
                }
                let out = MatMut::strided(&mut out[head * size.dh..], tq, size.dh, size.width());
                gemm_serial(Mat::new(p, tq, tk), v.head(batch, head, size, tk), out, Start::Zero);
            }
        };
        if tq > 0 && tk > 0 && size.width() > 0 {
            let outs = out.par_chunks_mut(tq * size.width()).enumerate();
            if self.keep {
                outs.zip(kept.par_chunks_mut(size.heads * one)).for_each(|((batch, out), kept)| row(batch, out, kept));
            } else {
                outs.for_each(|(batch, out)| row(batch, out, &mut []));
            }
        }
        if self.keep {
            *self.probabilities.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = kept;
        }
        result(out, (size.batch, tq, size.width()))
    }

    /// Writes the gradients of one batch row.
    fn backward_row(
        &self,
        size: Size,
        batch: usize,
        p: &[f32],
        [q, k, v, g]: [View; 4],
        [dq, dk, dv]: &mut [Target; 3],
    ) {
        let (tq, tk) = (size.queries, size.keys);
        let mut ds = vec![0.0; tq * tk];
        for head in 0..size.heads {
            let p = &p[(batch * size.heads + head) * tq * tk..][..tq * tk];
            let g = g.head(batch, head, size, tq);
            gemm_serial(Mat::new(p, tq, tk).t(), g, dv.head(head, size, tk), Start::Zero);
            gemm_serial(g, v.head(batch, head, size, tk).t(), MatMut::new(&mut ds, tq, tk), Start::Zero);
            for (i, (p, ds)) in p.chunks(tk).zip(ds.chunks_mut(tk)).enumerate() {
                let (seen, hidden) = ds.split_at_mut(self.masking.visible(batch, i, tq, tk));
                rows::softmax_back(&p[..seen.len()], seen, size.scale());
                hidden.fill(0.0);
            }
            let ds = Mat::new(&ds, tq, tk);
            gemm_serial(ds, k.head(batch, head, size, tk), dq.head(head, size, tq), Start::Zero);
            gemm_serial(ds.t(), q.head(batch, head, size, tq), dk.head(head, size, tk), Start::Zero);
        }
    }

    /// Calls [`Attention::backward_row`] for every batch row, with the given memory of each row as targets.
    fn backward<'t>(&self, size: Size, views: [View; 4], targets: Vec<[Target<'t>; 3]>) -> Result<()> {
        let kept = self.probabilities.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if kept.len() != size.batch * size.heads * size.queries * size.keys {
            bail!("attention was computed without keeping what its backward pass needs");
        }
        let p = &kept[..];
        targets.into_par_iter().enumerate().for_each(|(batch, mut targets): (usize, [Target<'t>; 3])| {
            self.backward_row(size, batch, p, views, &mut targets);
        });
        Ok(())
    }
}

/// A tensor locked for reading, any strides but the last.
struct Locked<'a>(StorageRef<'a>, &'a Layout);

impl<'a> Locked<'a> {
    fn new(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self(storage, layout)
    }

    fn view(&self) -> Result<View<'_>> {
        match &*self.0 {
            Storage::Cpu(storage) => View::of(storage, self.1),
            _ => bail!("expected values on the cpu"),
        }
    }
}

/// The memory of each batch row, as the target of one gradient.
fn targets(data: &mut [f32], rows: usize, stride: usize) -> impl Iterator<Item = Target<'_>> {
    data.chunks_mut(rows * stride).map(move |data| Target { data, stride })
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        lq: &Layout,
        k: &CpuStorage,
        lk: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let size = self.size(lq.shape().dims3()?, lk.shape().dims3()?)?;
        if lk.shape() != lv.shape() {
            bail!("keys of {:?} and values of {:?}", lk.shape(), lv.shape());
        }
        Ok(self.forward(size, View::of(q, lq)?, View::of(k, lk)?, View::of(v, lv)?))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let size = self.size(q.dims3()?, k.dims3()?)?;
        let (tq, tk, width) = (size.queries, size.keys, size.width());
        let grad = grad.contiguous()?;
        let g = values(&grad)?;
        let locked = [Locked::new(q), Locked::new(k), Locked::new(v)];
        let [q_view, k_view, v_view] = [locked[0].view()?, locked[1].view()?, locked[2].view()?];
        let mut dq = vec![0.0; q.elem_count()];
        let mut dk = vec![0.0; k.elem_count()];
        let mut dv = vec![0.0; v.elem_count()];
        let rows = targets(&mut dq, tq, width).zip(targets(&mut dk, tk, width)).zip(targets(&mut dv, tk, width));
        let rows = rows.map(|((dq, dk), dv)| [dq, dk, dv]).collect();
        self.backward(size, [q_view, k_view, v_view, View::contiguous(&g, tq, width)], rows)?;
        Ok((Some(tensor(dq, q.shape())?), Some(tensor(dk, k.shape())?), Some(tensor(dv, v.shape())?)))
    }
}

impl Attention {
    /// The sizes of a call with `parts` matrices side by side in a tensor of shape `packed`.
    fn halves(packed: &Shape, parts: usize) -> Result<(usize, usize, usize)> {
        let (batch, rows, width) = packed.dims3()?;
        if width % parts != 0 {
            bail!("{parts} matrices side by side in {packed:?}");
        }
        Ok((batch, rows, width / parts))
    }
}

impl CustomOp2 for Attention {
    fn name(&self) -> &'static str {
        "attention_kv"
    }

    fn cpu_fwd(&self, q: &CpuStorage, lq: &Layout, kv: &CpuStorage, lkv: &Layout) -> Result<(CpuStorage, Shape)> {
        let size = self.size(lq.shape().dims3()?, Self::halves(lkv.shape(), 2)?)?;
        let k = View::of(kv, lkv)?;
        Ok(self.forward(size, View::of(q, lq)?, k, k.shifted(size.width())))
    }

    fn bwd(&self, q: &Tensor, kv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let size = self.size(q.dims3()?, Self::halves(kv.shape(), 2)?)?;
        let (tq, tk, width) = (size.queries, size.keys, size.width());
        let grad = grad.contiguous()?;
        let g = values(&grad)?;
        let locked = [Locked::new(q), Locked::new(kv)];
        let (q_view, k_view) = (locked[0].view()?, locked[1].view()?);
        let mut dq = vec![0.0; q.elem_count()];
        let mut dk = vec![0.0; tk * width * size.batch];
        let mut dv = dk.clone();
        let rows = targets(&mut dq, tq, width).zip(targets(&mut dk, tk, width)).zip(targets(&mut dv, tk, width));
        let rows = rows.map(|((dq, dk), dv)| [dq, dk, dv]).collect();
        self.backward(size, [q_view, k_view, k_view.shifted(width), View::contiguous(&g, tq, width)], rows)?;
        let dkv = side_by_side(&[&dk, &dv], width);
        Ok((Some(tensor(dq, q.shape())?), Some(tensor(dkv, kv.shape())?)))
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention_qkv"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let part = Self::halves(layout.shape(), 3)?;
        let size = self.size(part, part)?;
        let q = View::of(qkv, layout)?;
        Ok(self.forward(size, q, q.shifted(size.width()), q.shifted(2 * size.width())))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let part = Self::halves(qkv.shape(), 3)?;
        let size = self.size(part, part)?;
        let (t, width) = (size.queries, size.width());
        let grad = grad.contiguous()?;
        let g = values(&grad)?;
        let locked = Locked::new(qkv);
        let q = locked.view()?;
        let mut dq = vec![0.0; size.batch * t * width];
        let (mut dk, mut dv) = (dq.clone(), dq.clone());
        let rows = targets(&mut dq, t, width).zip(targets(&mut dk, t, width)).zip(targets(&mut dv, t, width));
        let rows = rows.map(|((dq, dk), dv)| [dq, dk, dv]).collect();
        self.backward(size, [q, q.shifted(width), q.shifted(2 * width), View::contiguous(&g, t, width)], rows)?;
        Ok(Some(tensor(side_by_side(&[&dq, &dk, &dv], width), qkv.shape())?))
    }
}

/// Joins matrices of `width` columns row by row.
fn side_by_side(parts: &[&[f32]], width: usize) -> Vec<f32> {
    let mut out = vec![0.0; parts.iter().map(|part| part.len()).sum()];
    super::each_row(&mut out, parts.len() * width, |row, out| {
        for (out, part) in out.chunks_mut(width).zip(parts) {
            out.copy_from_slice(&part[row * width..][..width]);
        }
    });
    out
}
