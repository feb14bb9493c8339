//! Micro-benchmarks of the bridge; see `benches/`.
