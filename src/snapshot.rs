//! Taking snapshots: names, manifests, pruning.
