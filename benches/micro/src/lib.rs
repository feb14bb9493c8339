//! Micro-benchmarks of the bridge, with criterion: `cargo bench -p pontoon-micro`.
//!
//! Each file in `benches/` opens with the question that it answers. They are for finding out
//! whether a change made one part slower; what the whole costs beside other projects is measured
//! in `benches/peers`.
