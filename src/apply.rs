//! A plan is carried out: guarded batches, a receipt; resume.
