//! The stack of a thread that is blocked in the kernel, read from outside: no signal, no ptrace, nothing
//! that the thread would notice.
//!
//! `/proc/self/task/TID/syscall` tells the stack pointer and the program counter of a thread in a system
//! call, `/proc/self/mem` its stack, and the unwind tables of the loaded files the rest. A thread that
//! computes has no stack that stands still, and none is shown.

use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{Module, ModuleSectionInfo, Unwinder as _};
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SymbolKind};
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// So many frames are shown.
const FRAMES_MAX: usize = 64;
/// So far from the top a frame pointer is searched.
const WORDS_SEARCHED: u64 = 512;

/// The frames of a thread, the innermost first, one word for each; `None` if it is not blocked.
pub(super) fn of(thread_id: i32) -> Option<Vec<String>> {
    let syscall = fs::read_to_string(format!("/proc/self/task/{thread_id}/syscall")).ok()?;
    let [stack_pointer, program_counter] = registers(&syscall)?;
    let loaded = Loaded::all().ok()?;
    let mut unwinder = UnwinderX86_64::<Vec<u8>>::new();
    loaded.iter().for_each(|one| one.add_to(&mut unwinder));
    let stack = Stack {
        memory: File::open("/proc/self/mem").ok()?,
        unwinder,
        stack_pointer,
        program_counter,
    };
    let frames = stack.frames(&loaded);
    Some(
        frames
            .iter()
            .map(|address| name(&loaded, *address))
            .collect(),
    )
}

/// A stack that stands still, hopefully: what is read from it is checked, never trusted.
struct Stack {
    memory: File,
    unwinder: UnwinderX86_64<Vec<u8>>,
    stack_pointer: u64,
    program_counter: u64,
}

impl Stack {
    fn word(&self, address: u64) -> Result<u64, ()> {
        let mut word = [0; 8];
        let read = self.memory.read_exact_at(&mut word, address);
        read.map(|()| u64::from_ne_bytes(word)).map_err(drop)
    }

    /// Addresses in its functions, the innermost first.
    ///
    /// The kernel does not tell the frame pointer, and some functions cannot be left without. So what
    /// may be a frame that was pushed near the top is tried in turn: the right one is that from which the
    /// unwind tables lead to the thread's beginning on the longest way.
    fn frames(&self, loaded: &[Loaded]) -> Vec<u64> {
        let is_code = |address: u64| loaded.iter().any(|one| one.code.contains(&address));
        let pushed = (0..WORDS_SEARCHED).map(|word| self.stack_pointer + word * 8);
        // What was pushed may be anything: the caller may use the register for something else.
        let pushed = pushed.filter(|at| self.word(at + 8).is_ok_and(is_code));
        let tries = std::iter::once(0).chain(pushed);
        let stacks = tries.map(|frame_pointer| self.unwind(frame_pointer));
        // A wrong one leaves frames out, or leads nowhere.
        let best = stacks.max_by_key(|(frames, is_whole)| (*is_whole, frames.len()));
        best.map(|(frames, _)| frames).unwrap_or_default()
    }

    /// The frames, and whether the last one is the thread's first.
    fn unwind(&self, frame_pointer: u64) -> (Vec<u64>, bool) {
        let mut cache = CacheX86_64::<_>::new();
        let mut read_word = |address| self.word(address);
        let registers =
            UnwindRegsX86_64::new(self.program_counter, self.stack_pointer, frame_pointer);
        let start = self.program_counter;
        let mut unwinding = self
            .unwinder
            .iter_frames(start, registers, &mut cache, &mut read_word);
        let mut frames = Vec::new();
        while frames.len() < FRAMES_MAX {
            match unwinding.next() {
                Ok(Some(frame)) => frames.push(frame.address_for_lookup()),
                Ok(None) => return (frames, true),
                Err(_) => return (frames, false),
            }
        }
        (frames, true)
    }
}

/// The last two fields: stack pointer and program counter.
fn registers(syscall: &str) -> Option<[u64; 2]> {
    let fields: Vec<_> = syscall.split_whitespace().collect();
    let [_, .., stack_pointer, program_counter] = fields[..] else {
        return None;
    };
    let number = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    Some([number(stack_pointer)?, number(program_counter)?])
}

/// A file with code in this process.
struct Loaded {
    path: PathBuf,
    /// Where its code is.
    code: Range<u64>,
    /// Where its first byte is.
    base: u64,
}

impl Loaded {
    fn all() -> std::io::Result<Vec<Self>> {
        let maps = fs::read_to_string("/proc/self/maps")?;
        Ok(maps.lines().filter_map(Self::from_line).collect())
    }

    /// One line of `/proc/self/maps`, if it is code of a file.
    fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let code = number(start)?..number(end)?;
        fields.next().filter(|rights| rights.contains('x'))?;
        let offset = number(fields.next()?)?;
        let path = PathBuf::from(fields.nth(2).filter(|path| path.starts_with('/'))?);
        Some(Self {
            path,
            base: code.start.checked_sub(offset)?,
            code,
        })
    }

    /// Files where code is not at its own offset are rare; their frames are then not found.
    fn add_to(&self, unwinder: &mut UnwinderX86_64<Vec<u8>>) {
        let Ok(bytes) = fs::read(&self.path) else {
            return;
        };
        let Ok(elf) = object::File::parse(&*bytes) else {
            return;
        };
        let name = self.path.display().to_string();
        unwinder.add_module(Module::new(
            name,
            self.code.clone(),
            self.shift(&elf),
            Elf(&elf),
        ));
    }

    /// What to add to an address of the file to have it in this process.
    fn shift(&self, elf: &object::File<'_>) -> u64 {
        // The mapping begins at the page in which the segment does.
        let offset = self.code.start - self.base;
        let end = offset + (self.code.end - self.code.start);
        let in_mapping = |segment: &object::Segment<'_, '_>| {
            let (start, size) = segment.file_range();
            segment.permissions().executable() && start < end && offset < start + size
        };
        let address = elf.segments().find(in_mapping).map_or(offset, |segment| {
            let (start, _) = segment.file_range();
            segment.address().wrapping_sub(start).wrapping_add(offset)
        });
        self.code.start.wrapping_sub(address)
    }
}

/// The function at an address of this process.
fn name(loaded: &[Loaded], address: u64) -> String {
    let Some(one) = loaded.iter().find(|one| one.code.contains(&address)) else {
        return format!("{address:#x}");
    };
    symbol(one, address).unwrap_or_else(|| {
        let file = one.path.file_name().unwrap_or_default();
        format!("{}+{:#x}", file.to_string_lossy(), address - one.base)
    })
}

fn symbol(loaded: &Loaded, address: u64) -> Option<String> {
    let bytes = fs::read(&loaded.path).ok()?;
    let elf = object::File::parse(&*bytes).ok()?;
    let in_file = address.wrapping_sub(loaded.shift(&elf));
    let holds = |symbol: &object::Symbol<'_, '_>| {
        symbol.kind() == SymbolKind::Text
            && (symbol.address()..symbol.address() + symbol.size()).contains(&in_file)
    };
    let found = elf.symbols().chain(elf.dynamic_symbols()).find(holds)?;
    let name = found.name().ok()?;
    Some(format!("{:#}", rustc_demangle::demangle(name)))
}

/// What the unwinder wants to know of a file.
struct Elf<'f, 'd>(&'f object::File<'d>);

impl ModuleSectionInfo<Vec<u8>> for Elf<'_, '_> {
    fn base_svma(&self) -> u64 {
        0
    }

    fn section_svma_range(&mut self, name: &[u8]) -> Option<Range<u64>> {
        let section = self.0.section_by_name_bytes(name)?;
        Some(section.address()..section.address() + section.size())
    }

    fn section_data(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let section = self.0.section_by_name_bytes(name)?;
        section
            .uncompressed_data()
            .ok()
            .map(|data| data.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::gettid;
    use std::sync::mpsc;
    use std::thread;
    use std::time::{Duration, Instant};

    #[inline(never)]
    fn where_the_library_waits(never: &mpsc::Receiver<()>) -> bool {
        let ended = never.recv();
        // So that the call above is no tail call, and its frame is there.
        std::hint::black_box(ended.is_err())
    }

    #[test]
    fn the_stack_of_a_thread_that_waits_shows_the_function_that_waits() {
        let (end, never) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let waiting = thread::spawn(move || {
            tell.send(gettid().as_raw()).unwrap();
            where_the_library_waits(&never)
        });
        let thread_id = told.recv().unwrap();
        let until = Instant::now() + Duration::from_secs(30);
        let shows = |frames: &[String]| {
            let wanted = |frame: &String| frame.contains("where_the_library_waits");
            frames.iter().any(wanted)
        };
        loop {
            let frames = super::of(thread_id).unwrap_or_default();
            if shows(&frames) {
                break;
            }
            assert!(Instant::now() < until, "{frames:#?}");
            thread::yield_now();
        }
        drop(end);
        assert!(waiting.join().unwrap());
    }
}
