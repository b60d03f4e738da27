//! Scaled dot-product attention over several heads, without transposed copies.

pub(super) mod core;

use std::sync::{Mutex, PoisonError};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Shape, Storage, StorageRef, Tensor, bail,
};

use self::core::{Size, Targets, View};
use super::{argument, result, tensor, values};
use crate::model::kernel::Buffer;

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

    /// The sizes of attention of `q` over `k` (batch, rows, width), if they fit each other.
    pub(super) fn size(&self, heads: usize, q: (usize, usize, usize), k: (usize, usize, usize)) -> Result<Size> {
        let (batch, queries, width) = q;
        if k.0 != batch || k.2 != width || heads == 0 || !width.is_multiple_of(heads) {
            bail!("attention of {q:?} over {k:?} with {heads} heads");
        }
        if self.causal && queries > k.1 {
            bail!("{queries} causal queries over {} keys", k.1);
        }
        if self.lengths.as_ref().is_some_and(|lengths| lengths.len() != batch) {
            bail!("attention needs one length per batch row");
        }
        Ok(Size { batch, queries, keys: k.1, dh: width / heads, heads })
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
    probabilities: Mutex<Option<Buffer>>,
}

/// The matrices behind an argument.
fn view<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<View<'a>> {
    layout.shape().dims3()?;
    Ok(View::new(argument(storage, layout)?, layout.stride()[0], layout.stride()[1]))
}

/// The sizes of one of `parts` matrices side by side in a tensor of shape `packed`.
fn part(packed: &Shape, parts: usize) -> Result<(usize, usize, usize)> {
    let (batch, rows, width) = packed.dims3()?;
    if !width.is_multiple_of(parts) {
        bail!("{parts} matrices side by side in {packed:?}");
    }
    Ok((batch, rows, width / parts))
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
            Storage::Cpu(storage) => view(storage, self.1),
            _ => bail!("expected values on the cpu"),
        }
    }
}

impl Attention {
    fn new(heads: usize, masking: Masking, keep: bool) -> Self {
        Self { heads, masking, keep, probabilities: Mutex::default() }
    }

    fn forward(&self, size: Size, views: [View; 3]) -> (CpuStorage, Shape) {
        let mut out = vec![0.0; size.batch * size.queries * size.width()];
        let mut kept = Buffer::new(if self.keep { size.probabilities() } else { 0 });
        core::forward(size, &self.masking, None, views, &mut out, &mut kept);
        if self.keep {
            *self.probabilities.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        result(out, (size.batch, size.queries, size.width()))
    }

    fn backward(&self, size: Size, [q, k, v]: [View; 3], grad: &Tensor, targets: Targets) -> Result<()> {
        let kept = self.probabilities.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(p) = &*kept else { bail!("attention did not keep what its backward pass needs") };
        let grad = grad.contiguous()?;
        let g = values(&grad)?;
        let g = View::contiguous(&g, size.queries, size.width());
        core::backward(size, &self.masking, None, p, [q, k, v, g], targets);
        Ok(())
    }
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
        let size = self.masking.size(self.heads, lq.shape().dims3()?, lk.shape().dims3()?)?;
        if lk.shape() != lv.shape() {
            bail!("keys of {:?} and values of {:?}", lk.shape(), lv.shape());
        }
        Ok(self.forward(size, [view(q, lq)?, view(k, lk)?, view(v, lv)?]))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let size = self.masking.size(self.heads, q.dims3()?, k.dims3()?)?;
        let locked = [Locked::new(q), Locked::new(k), Locked::new(v)];
        let views = [locked[0].view()?, locked[1].view()?, locked[2].view()?];
        let (mut dq, mut dk, mut dv) =
            (vec![0.0; q.elem_count()], vec![0.0; k.elem_count()], vec![0.0; v.elem_count()]);
        self.backward(size, views, grad, Targets::Three(&mut dq, &mut dk, &mut dv))?;
        Ok((Some(tensor(dq, q.shape())?), Some(tensor(dk, k.shape())?), Some(tensor(dv, v.shape())?)))
    }
}

impl CustomOp2 for Attention {
    fn name(&self) -> &'static str {
        "attention_kv"
    }

    fn cpu_fwd(&self, q: &CpuStorage, lq: &Layout, kv: &CpuStorage, lkv: &Layout) -> Result<(CpuStorage, Shape)> {
        let size = self.masking.size(self.heads, lq.shape().dims3()?, part(lkv.shape(), 2)?)?;
        let k = view(kv, lkv)?;
        Ok(self.forward(size, [view(q, lq)?, k, k.shifted(size.width())]))
    }

    fn bwd(&self, q: &Tensor, kv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let size = self.masking.size(self.heads, q.dims3()?, part(kv.shape(), 2)?)?;
        let locked = [Locked::new(q), Locked::new(kv)];
        let k = locked[1].view()?;
        let (mut dq, mut dkv) = (vec![0.0; q.elem_count()], vec![0.0; kv.elem_count()]);
        let views = [locked[0].view()?, k, k.shifted(size.width())];
        self.backward(size, views, grad, Targets::Pair(&mut dq, &mut dkv))?;
        Ok((Some(tensor(dq, q.shape())?), Some(tensor(dkv, kv.shape())?)))
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "attention_qkv"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let part = part(layout.shape(), 3)?;
        let size = self.masking.size(self.heads, part, part)?;
        let q = view(qkv, layout)?;
        Ok(self.forward(size, [q, q.shifted(size.width()), q.shifted(2 * size.width())]))
    }

    fn bwd(&self, qkv: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let part = part(qkv.shape(), 3)?;
        let size = self.masking.size(self.heads, part, part)?;
        let locked = Locked::new(qkv);
        let q = locked.view()?;
        let mut dqkv = vec![0.0; qkv.elem_count()];
        let views = [q, q.shifted(size.width()), q.shifted(2 * size.width())];
        self.backward(size, views, grad, Targets::Joint(&mut dqkv))?;
        Ok(Some(tensor(dqkv, qkv.shape())?))
    }
}
