//! The memory that a reader gets: asking for more fails, as where there is no more.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The most that is given out at any time.
const MOST: usize = 1 << 30;

static GIVEN: AtomicUsize = AtomicUsize::new(0);

struct Capped;

#[global_allocator]
static MEMORY: Capped = Capped;

// SAFETY: the system's allocator gives and takes; a refusal is the null that it may answer itself.
unsafe impl GlobalAlloc for Capped {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if GIVEN.fetch_add(layout.size(), Relaxed) + layout.size() > MOST {
            GIVEN.fetch_sub(layout.size(), Relaxed);
            return std::ptr::null_mut();
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if GIVEN.fetch_add(layout.size(), Relaxed) + layout.size() > MOST {
            GIVEN.fetch_sub(layout.size(), Relaxed);
            return std::ptr::null_mut();
        }
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        GIVEN.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}
