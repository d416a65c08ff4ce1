// SPDX-License-Identifier: GPL-2.0

//! A value that is read on the hot path and changed seldom, and then as a whole.
//!
//! A read costs a flag of the reader's own, and may be made with interrupts off. A change publishes the
//! next value, waits until nobody is in the middle of a read, and frees the old one: reads are short and
//! never sleep, so that the wait is one of microseconds, and nobody is interrupted for it. When a change
//! is over, no reader acts on what was taken out any more.
//!
//! Both sides are sequentially consistent: a reader raises its flag and then takes the pointer, a change
//! sets the pointer and then looks at the flags. So one sees the other.

// UNSAFETY: frees a value that others reach through a pointer; the flags say when nobody does.
#![expect(unsafe_code)]

use super::cpu::PreemptOff;
use crate::shared_list::SharedList;
use core::{
    hint::spin_loop,
    marker::PhantomData,
    sync::atomic::{AtomicBool, AtomicPtr, Ordering},
};
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{new_mutex, Arc, Mutex},
};

/// The pointer to a boxed value.
struct Current<T> {
    pointer: AtomicPtr<T>,
    _owner: PhantomData<KBox<T>>,
}

impl<T> Current<T> {
    /// Owns `value`.
    fn new(value: KBox<T>) -> Self {
        Self {
            pointer: AtomicPtr::new(KBox::into_raw(value)),
            _owner: PhantomData,
        }
    }

    /// The value.
    ///
    /// # Safety
    ///
    /// What `replace` returns meanwhile must not be dropped before the last use of the reference.
    unsafe fn get(&self) -> &T {
        // SAFETY: the pointer comes from a box that only `replace` gives away.
        unsafe { &*self.pointer.load(Ordering::SeqCst) }
    }

    /// Takes up another value and gives the old one back.
    fn replace(&self, value: KBox<T>) -> KBox<T> {
        let old = self.pointer.swap(KBox::into_raw(value), Ordering::SeqCst);
        // SAFETY: the pointer came from `into_raw`, and the swap makes this its only owner.
        unsafe { KBox::from_raw(old) }
    }
}

impl<T> Drop for Current<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from `into_raw`, and nobody can read it any more.
        drop(unsafe { KBox::from_raw(*self.pointer.get_mut()) });
    }
}

/// A published value.
#[pin_data]
pub struct Published<T> {
    current: Current<T>,
    /// Serialises changes.
    #[pin]
    update: Mutex<()>,
    /// Of each reader, whether it is reading.
    #[pin]
    readers: SharedList<AtomicBool>,
}

impl<T: Send + Sync + 'static> Published<T> {
    /// Publishes a first value. `ENOMEM`.
    pub fn new(value: T) -> Result<Arc<Self>> {
        let current = Current::new(KBox::new(value, GFP_KERNEL_ACCOUNT)?);
        Arc::pin_init(
            pin_init!(Self {
                current,
                update <- new_mutex!(()),
                readers <- SharedList::new(static_lock_class!()),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Publishes the value that `next` makes of the current one; `None` leaves that. Sleeps. No reader acts
    /// on the old value once this has returned. `ENOMEM`, or the error of `next`.
    pub fn update(&self, next: impl FnOnce(&T) -> Result<Option<T>>) -> Result {
        let _update = self.update.lock();
        // SAFETY: the value is replaced below alone, after the last use of this reference, and the
        // mutex keeps other changes out.
        let Some(value) = next(unsafe { self.current.get() })? else {
            return Ok(());
        };
        let old = self.current.replace(KBox::new(value, GFP_KERNEL_ACCOUNT)?);
        self.readers.for_each(|reading| {
            while reading.load(Ordering::SeqCst) {
                spin_loop();
            }
        });
        drop(old);
        Ok(())
    }
}

/// The right to read a published value, one read at a time.
pub struct Reader<T: Send + Sync + 'static> {
    published: Arc<Published<T>>,
    reading: Arc<AtomicBool>,
}

impl<T: Send + Sync + 'static> Reader<T> {
    /// A reader of `published`. `ENOMEM`.
    pub fn new(published: Arc<Published<T>>) -> Result<Self> {
        let reading = Arc::new(AtomicBool::new(false), GFP_KERNEL_ACCOUNT)?;
        published.readers.add(reading.clone())?;
        Ok(Self { published, reading })
    }

    /// Calls `read` with the current value. It must be short, since a change waits for it.
    #[inline]
    pub fn read<R>(&mut self, _here: &PreemptOff, read: impl FnOnce(&T) -> R) -> R {
        self.reading.store(true, Ordering::SeqCst);
        // SAFETY: a change that replaces the value after this look at it finds the flag raised, and
        // waits with the drop until it is lowered.
        let result = read(unsafe { self.published.current.get() });
        self.reading.store(false, Ordering::Release);
        result
    }
}

impl<T: Send + Sync + 'static> Drop for Reader<T> {
    fn drop(&mut self) {
        self.published.readers.remove(&self.reading);
    }
}
