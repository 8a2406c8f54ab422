//! Out-of-memory and memory-pressure events, as descriptors to wait on.

use std::{
    fs::File,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::fs::FileExt,
    },
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        eventfd::{EfdFlags, EventFd},
        inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
    },
};

use crate::{
    controller::Controller,
    dir::Dir,
    error::{Error, Kind, Result},
    group::Cgroup,
    stats::MemoryCounters,
};

/// Reports of processes that found no memory. The descriptor becomes readable when there is one;
/// [`take`](MemoryEvents::take) takes it.
#[derive(Debug)]
#[must_use = "events that nobody waits for are lost"]
pub struct MemoryEvents(Source);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryEvent {
    /// Processes met the limit and none of their memory could be freed; how often.
    OutOfMemory(u64),
    /// The group was removed, or, on v2, its last process has ended.
    Ended,
}

/// Reports of a lack of memory below the limit.
#[derive(Debug)]
#[must_use = "events that nobody waits for are lost"]
pub struct MemoryPressure(Notice);

/// How bad it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PressureLevel {
    /// Memory is being freed. v2: some process waits for a twentieth of a second.
    Low,
    /// Memory is being freed with effort. v2: some process waits for a fifth of a second.
    Medium,
    /// Processes are about to be killed. v2: all wait for a fifth of a second.
    Critical,
}

#[derive(Debug)]
enum Source {
    Legacy(Registered),
    Unified(Watch),
}

/// An eventfd, and the file that it is about, which tells whether the group is still there.
#[derive(Debug)]
struct Registered {
    event: EventFd,
    control: File,
}

/// Removal of a group gives no event, the end of its last process does.
#[derive(Debug)]
struct Watch {
    inotify: Inotify,
    events: File,
    members: File,
    members_watch: WatchDescriptor,
    seen: u64,
    has_ended: bool,
}

#[derive(Debug)]
enum Notice {
    Legacy(EventFd),
    /// A pressure trigger reports by POLLPRI; an epoll around it is readable instead.
    Unified {
        epoll: Epoll,
        _trigger: File,
    },
}

impl Cgroup {
    /// Starts to report processes that find no memory.
    ///
    /// # Kernel
    /// v1: an eventfd in `cgroup.event_control`. v2: inotify on `memory.events`.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Unsupported` | | the group does not count memory |
    /// | `Limit` | EMFILE, ENOSPC | there are too many descriptors or inotify watches |
    /// | `Gone`, `NotFound` | ENODEV, ENOENT | the group was removed |
    ///
    /// # References
    /// `Documentation/admin-guide/cgroup-v1/memory.rst` § OOM Control, `inotify(7)`.
    #[doc(alias = "oom")]
    pub fn memory_events(&self) -> Result<MemoryEvents> {
        if let Some(member) = self.legacy(Controller::Memory) {
            let control = File::from(
                member
                    .dir
                    .open_file("memory.oom_control", OFlag::O_RDONLY)?,
            );
            let event = register(&member.dir, &control, "")?;
            return Ok(MemoryEvents(Source::Legacy(Registered { event, control })));
        }
        let dir = self.memory_on_unified()?;
        let failed = |errno| dir.error(STEP, "inotify_add_watch", EVENTS, errno);
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Inotify::init(flags).map_err(failed)?;
        let open = |file| dir.open_file(file, OFlag::O_RDONLY).map(File::from);
        let (events, members) = (open(EVENTS)?, open("cgroup.events")?);
        let watch = |file: &File| {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            inotify
                .add_watch(path.as_str(), AddWatchFlags::IN_MODIFY)
                .map_err(failed)
        };
        watch(&events)?;
        let members_watch = watch(&members)?;
        // ORDER: after the watch, so that nothing falls in between.
        let seen = count(&events)?.unwrap_or(0);
        Ok(MemoryEvents(Source::Unified(Watch {
            inotify,
            events,
            members,
            members_watch,
            seen,
            has_ended: false,
        })))
    }

    /// Starts to report a lack of memory.
    ///
    /// # Kernel
    /// v1: `memory.pressure_level`. v2: a trigger on `memory.pressure`, at most once per second.
    ///
    /// # Privileges
    /// On v2 before 6.6, `CAP_SYS_RESOURCE`.
    ///
    /// # Errors
    /// | kind | errno | when |
    /// |---|---|---|
    /// | `Unsupported` | EOPNOTSUPP | the kernel does not count pressure |
    /// | `Denied` | EPERM | see privileges |
    /// | `Gone`, `NotFound` | ENODEV, ENOENT | the group was removed |
    ///
    /// # References
    /// `Documentation/accounting/psi.rst`, `Documentation/admin-guide/cgroup-v1/memory.rst`
    /// § Memory Pressure.
    #[doc(alias = "psi")]
    pub fn memory_pressure(&self, level: PressureLevel) -> Result<MemoryPressure> {
        if let Some(member) = self.legacy(Controller::Memory) {
            let control = member
                .dir
                .open_file("memory.pressure_level", OFlag::O_RDONLY)?;
            let event = register(&member.dir, &File::from(control), level.legacy_word())?;
            return Ok(MemoryPressure(Notice::Legacy(event)));
        }
        let Some(member) = self.unified() else {
            return Err(no_memory());
        };
        let dir = &member.dir;
        let failed = |errno| dir.error(STEP, "write", "memory.pressure", errno);
        let trigger = dir.open_file("memory.pressure", OFlag::O_RDWR | OFlag::O_NONBLOCK)?;
        nix::unistd::write(&trigger, level.trigger().as_bytes()).map_err(failed)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let interest = EpollEvent::new(EpollFlags::EPOLLPRI, 0);
        epoll.add(&trigger, interest).map_err(failed)?;
        let trigger = File::from(trigger);
        Ok(MemoryPressure(Notice::Unified {
            epoll,
            _trigger: trigger,
        }))
    }

    fn memory_on_unified(&self) -> Result<&Dir> {
        let member = self.unified().filter(|member| member.dir.has(EVENTS));
        member.map(|member| &member.dir).ok_or_else(no_memory)
    }
}

impl MemoryEvents {
    /// The next event; `None` when there is none yet. It does not wait. One wake-up may stand for
    /// several events, so take them until there is none.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Kernel` | the kernel refuses to read |
    pub fn take(&mut self) -> Result<Option<MemoryEvent>> {
        match &mut self.0 {
            Source::Legacy(registered) => registered.take(),
            Source::Unified(watch) => watch.take(),
        }
    }
}

impl Registered {
    fn take(&self) -> Result<Option<MemoryEvent>> {
        let n_events = match self.event.read() {
            Ok(n_events) => n_events,
            Err(Errno::EAGAIN) => return Ok(None),
            Err(errno) => return Err(Error::from_errno(NEXT, "read(eventfd)", errno)),
        };
        // Removal of the group signals the eventfd too, and leaves nothing to ask.
        match self.control.read_at(&mut [0; 64], 0) {
            Ok(_) => Ok(Some(MemoryEvent::OutOfMemory(n_events))),
            Err(_) => Ok(Some(MemoryEvent::Ended)),
        }
    }
}

impl Watch {
    fn take(&mut self) -> Result<Option<MemoryEvent>> {
        let arrived = match self.inotify.read_events() {
            Ok(arrived) => arrived,
            Err(Errno::EAGAIN) => Vec::new(),
            Err(errno) => return Err(Error::from_errno(NEXT, "read(inotify)", errno)),
        };
        if arrived.iter().any(|event| event.wd == self.members_watch) {
            let mut buffer = [0_u8; 256];
            let n_read = self.members.read_at(&mut buffer, 0).unwrap_or(0);
            let text = String::from_utf8_lossy(&buffer[..n_read]);
            self.has_ended = !text.lines().any(|line| line == "populated 1");
        }
        let Some(count) = count(&self.events)? else {
            return Ok(Some(MemoryEvent::Ended));
        };
        let n_events = count.saturating_sub(std::mem::replace(&mut self.seen, count));
        if n_events > 0 {
            return Ok(Some(MemoryEvent::OutOfMemory(n_events)));
        }
        Ok(std::mem::take(&mut self.has_ended).then_some(MemoryEvent::Ended))
    }
}

impl AsFd for MemoryEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Source::Legacy(registered) => registered.event.as_fd(),
            Source::Unified(watch) => watch.inotify.as_fd(),
        }
    }
}

impl MemoryPressure {
    /// Takes the report that made the descriptor readable; `false` when there is none. It does not
    /// wait.
    ///
    /// # Errors
    /// | kind | when |
    /// |---|---|
    /// | `Kernel` | the kernel refuses to read |
    pub fn take(&self) -> Result<bool> {
        let failed = |errno| Error::from_errno(NEXT, "read(pressure)", errno);
        match &self.0 {
            Notice::Legacy(event) => match event.read() {
                Ok(_) => Ok(true),
                Err(Errno::EAGAIN) => Ok(false),
                Err(errno) => Err(failed(errno)),
            },
            Notice::Unified { epoll, .. } => {
                let mut ready = [EpollEvent::empty()];
                epoll
                    .wait(&mut ready, EpollTimeout::ZERO)
                    .map(|n| n > 0)
                    .map_err(failed)
            }
        }
    }
}

impl AsFd for MemoryPressure {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Notice::Legacy(event) => event.as_fd(),
            Notice::Unified { epoll, .. } => epoll.0.as_fd(),
        }
    }
}

impl PressureLevel {
    fn legacy_word(self) -> &'static str {
        match self {
            PressureLevel::Low => "low",
            PressureLevel::Medium => "medium",
            PressureLevel::Critical => "critical",
        }
    }

    /// Microseconds lost of microseconds watched. Windows of whole 2 s need no privilege since 6.6.
    fn trigger(self) -> &'static str {
        match self {
            PressureLevel::Low => "some 100000 2000000",
            PressureLevel::Medium => "some 400000 2000000",
            PressureLevel::Critical => "full 400000 2000000",
        }
    }
}

/// `<eventfd> <file> <arguments>` in `cgroup.event_control`; the kernel keeps both until the group
/// or the eventfd goes.
fn register(dir: &Dir, control: &File, arguments: &str) -> Result<EventFd> {
    let failed = |errno| dir.error(STEP, "write", "cgroup.event_control", errno);
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let event = EventFd::from_flags(flags).map_err(failed)?;
    let (event_fd, control_fd) = (event.as_fd().as_raw_fd(), control.as_raw_fd());
    let line = format!("{event_fd} {control_fd} {arguments}");
    dir.write("cgroup.event_control", line.trim_end())
        .map_err(failed)?;
    Ok(event)
}

/// How often a process found no memory; `None` when the group is gone.
fn count(events: &File) -> Result<Option<u64>> {
    let mut buffer = [0_u8; 512];
    let n_read = match events.read_at(&mut buffer, 0) {
        Ok(n_read) => n_read,
        Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => return Ok(None),
        Err(error) => {
            let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
            return Err(Error::from_errno(NEXT, "read(memory.events)", errno));
        }
    };
    let counters = MemoryCounters::from_events(&String::from_utf8_lossy(&buffer[..n_read]))?;
    Ok(Some(counters.oom.max(counters.oom_kill)))
}

fn no_memory() -> Error {
    Error::new(Kind::Unsupported, STEP, "the group does not count memory")
        .with_hint("make it with a memory limit, or with accounting of memory")
}

const STEP: &str = "watch memory";
const NEXT: &str = "read memory event";
const EVENTS: &str = "memory.events";
