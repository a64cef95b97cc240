//! The heap of the GNU C library, told to keep few arenas.
//!
//! By default it keeps up to eight arenas for each core (mallopt(3), `M_ARENA_MAX`), and each keeps what
//! was freed in it for the threads that use it. Batches are made on one thread and dropped on another, so
//! that each arena would come to hold as much as all of them need.

#![allow(unsafe_code)]

/// Bounds the arenas by the cores; where the user's environment says something of them, that holds.
/// To be called before there is a second thread.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(super) fn bound() {
    if super::variable("MALLOC_ARENA_MAX").is_some() || super::variable("GLIBC_TUNABLES").is_some()
    {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 64) as i32);
    // SAFETY: it takes two integers, and sets a parameter of the allocator. A value that it does not
    // take changes nothing.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, cores) };
}

/// Other allocators do without.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(super) fn bound() {}
