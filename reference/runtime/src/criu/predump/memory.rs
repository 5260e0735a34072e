//! The memory of a process that runs, as CRIU will write it down: the pages that it has alone, in the order of their
//! addresses. Sources followed: `proc_pid_maps(5)`, `proc_pid_pagemap(5)`.
//!
//! A guess: pages come and go while it is read, and what is not read, or otherwise than CRIU does, is stored by the pause.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use tokio_util::sync::CancellationToken;

use crate::criu::lazy::PAGE_BYTES;

/// Pages of one area that are asked about at most; who reserves more has a reason of its own.
const MOST_PAGES: u64 = 1 << 20;
/// Bits of `pagemap`: in memory, swapped out, and of a file or shared.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const SHARED: u64 = 1 << 61;

/// Reads pages of a process, up to the end or until it is told not to.
#[derive(Debug)]
pub(super) struct ProcessMemory {
    memory: File,
    runs: VecDeque<Range<u64>>,
    ending: CancellationToken,
}

impl ProcessMemory {
    /// # Errors
    /// There is no such process, or it may not be read.
    pub(super) fn open(pid: u32, ending: &CancellationToken) -> io::Result<Self> {
        let pagemap = File::open(format!("/proc/{pid}/pagemap"))?;
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let mut runs = VecDeque::new();
        for area in maps.lines().filter_map(private_area) {
            let pages = usize::try_from((area.end - area.start) / PAGE_BYTES).unwrap_or(0);
            let mut entries = vec![0; pages * 8];
            pagemap.read_exact_at(&mut entries, area.start / PAGE_BYTES * 8)?;
            runs.extend(private_pages(area.start, &entries));
        }
        Ok(Self {
            memory: File::open(format!("/proc/{pid}/mem"))?,
            runs,
            ending: ending.clone(),
        })
    }
}

impl Read for ProcessMemory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(run) = self.runs.front_mut() {
            if self.ending.is_cancelled() {
                break;
            }
            let most = usize::try_from(run.end - run.start)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            // What is gone by now is passed over.
            let read = self.memory.read_at(&mut buffer[..most], run.start).unwrap_or(0);
            run.start += read as u64;
            if read == 0 || run.is_empty() {
                self.runs.pop_front();
            }
            if read > 0 {
                return Ok(read);
            }
        }
        Ok(0)
    }
}

/// The addresses of an area that can have pages of its own, from a line of `maps`.
fn private_area(line: &str) -> Option<Range<u64>> {
    let mut fields = line.split_ascii_whitespace();
    let (addresses, rights) = (fields.next()?, fields.next()?);
    let (start, end) = addresses.split_once('-')?;
    let area = u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?;
    let is_of_kernel = fields.nth(3).is_some_and(|name| name.starts_with("[v"));
    let is_private = rights.ends_with('p') && !rights.starts_with("---");
    let is_small = area.end.checked_sub(area.start)? / PAGE_BYTES <= MOST_PAGES;
    (is_private && !is_of_kernel && is_small).then_some(area)
}

/// Runs of pages that a process has alone, in an area that begins at `start` and has these `entries` in `pagemap`.
fn private_pages(start: u64, entries: &[u8]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    let (entries, _) = entries.as_chunks();
    for (nth, entry) in (0..).zip(entries) {
        let entry = u64::from_ne_bytes(*entry);
        if entry & (PRESENT | SWAPPED) == 0 || entry & SHARED != 0 {
            continue;
        }
        let address = start + nth * PAGE_BYTES;
        match runs.last_mut() {
            Some(last) if last.end == address => last.end += PAGE_BYTES,
            _ => runs.push(address..address + PAGE_BYTES),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_those_of_a_process_alone_that_it_may_touch() {
        let area = |line| private_area(line).map(|area| (area.start, area.end));
        let heap = "7f0000000000-7f0000002000 rw-p 00000000 00:00 0 ";
        assert_eq!(area(heap), Some((0x7f00_0000_0000, 0x7f00_0000_2000)));
        let library = "55d0-55e0 r--p 00001000 fe:00 77    /usr/lib/a library.so";
        assert_eq!(area(library), Some((0x55d0, 0x55e0)));
        for other in [
            "1000-2000 rw-s 00000000 00:01 12 /dev/shm/shared",
            "1000-2000 ---p 00000000 00:00 0 ",
            "1000-2000 r--p 00000000 00:00 0    [vvar]",
            "10000000-900000000000 rw-p 00000000 00:00 0 ",
            "2000-1000 rw-p 00000000 00:00 0 ",
            "nonsense",
        ] {
            assert_eq!(area(other), None, "{other}");
        }
    }

    #[test]
    fn pages_side_by_side_are_one_run_and_those_of_files_are_left_out() {
        let entries = [PRESENT, PRESENT | 7, 0, SWAPPED, PRESENT | SHARED, PRESENT];
        let entries: Vec<u8> = entries.into_iter().flat_map(u64::to_ne_bytes).collect();
        assert_eq!(
            private_pages(0x10000, &entries),
            [0x10000..0x12000, 0x13000..0x14000, 0x15000..0x16000]
        );
    }

    #[test]
    fn what_this_process_wrote_is_read_until_somebody_ends_it() {
        let mine: Vec<u8> = (0..1 << 20).map(|nth: u32| nth.to_le_bytes()[1] ^ 0x5a).collect();
        let ending = CancellationToken::new();
        let read = |ending| {
            let mut all = Vec::new();
            let memory = ProcessMemory::open(std::process::id(), ending).expect("a process");
            memory.take(1 << 30).read_to_end(&mut all).expect("read");
            all
        };
        let begin = mine.as_ptr().addr().next_multiple_of(4096) - mine.as_ptr().addr();
        let (page, all) = (&mine[begin..][..4096], read(&ending));
        assert!(all.chunks(4096).any(|read| read == page));
        ending.cancel();
        assert!(read(&ending).is_empty());
    }
}
