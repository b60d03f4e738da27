//! What other programs made, in the place of what the pipeline would make: captions, trained mappers.

mod captions;
mod mapper;

pub use captions::{Captions, VERSION as CAPTIONS_VERSION};
pub use mapper::{Mapper, VERSION as MAPPER_VERSION};
