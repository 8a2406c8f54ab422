//! Containers with an id, as many as are asked for.

use std::time::Instant;

use ns_config::Config;
use ns_exec::{Container, Start, StateDir};

use crate::{Outcome, check_end, quiet};

const SIGKILL: i32 = 9;

/// The containers that live: the first is there from the beginning and is what is asked about.
pub(crate) struct Containers<'a> {
    config: Config,
    dir: &'a StateDir,
    alive: Vec<Container<'a>>,
    n_made: usize,
}

impl<'a> Containers<'a> {
    pub(crate) fn new(config: &Config, dir: &'a StateDir) -> Self {
        Containers {
            config: config.clone(),
            dir,
            alive: Vec::new(),
            n_made: 0,
        }
    }

    /// `fill N` has N containers beside the first; any other request is done once, on the first or on one of its own.
    pub(crate) fn answer(&mut self, request: &str) -> Outcome<u128> {
        if let Some(n_others) = request.strip_prefix("fill ") {
            return self.fill(n_others.parse()?);
        }
        if self.alive.is_empty() {
            self.fill(0)?;
        }
        let first = self.alive.first().ok_or("there is a container")?;
        let begin = Instant::now();
        match request {
            "start" => {
                let container = self.start()?;
                let nanoseconds = begin.elapsed().as_nanos();
                container.kill_and_delete()?;
                return Ok(nanoseconds);
            }
            "delete" => {
                let container = self.start()?;
                let begin = Instant::now();
                container.kill_and_delete()?;
                return Ok(begin.elapsed().as_nanos());
            }
            "delete ended" => {
                let container = self.start()?;
                container.signal(SIGKILL)?;
                container.wait()?;
                let id = container.id().to_owned();
                drop(container);
                let begin = Instant::now();
                Container::open(&id, self.dir)?.delete()?;
                return Ok(begin.elapsed().as_nanos());
            }
            "exec" => self.exec(first)?,
            "open and exec" => self.exec(&Container::open(first.id(), self.dir)?)?,
            "state" => drop(Container::open(first.id(), self.dir)?.status()?),
            "stats" => drop(first.stats()?),
            "open and stats" => drop(Container::open(first.id(), self.dir)?.stats()?),
            "list" => {
                for (_, container) in Container::list(self.dir)? {
                    container?.status()?;
                }
            }
            other => return Err(format!("no such request: {other}").into()),
        }
        Ok(begin.elapsed().as_nanos())
    }

    fn exec(&self, container: &Container<'_>) -> Outcome<()> {
        let start = quiet(Start::new(&self.config, ["/true"]));
        check_end(container.exec(start)?.wait()?)
    }

    fn fill(&mut self, n_others: usize) -> Outcome<u128> {
        let begin = Instant::now();
        while self.alive.len() <= n_others {
            let container = self.start()?;
            self.alive.push(container);
        }
        Ok(begin.elapsed().as_nanos())
    }

    fn start(&mut self) -> Outcome<Container<'a>> {
        self.n_made += 1;
        let id = format!("ns-bench-{}-{}", std::process::id(), self.n_made);
        if let Some(cgroup) = &mut self.config.cgroup {
            cgroup.name.clone_from(&id);
        }
        let start = quiet(Start::new(&self.config, ["/true", "pause"]));
        Ok(Container::run(start, &id, self.dir)?)
    }

    /// Ends and removes all of them, whatever one says.
    pub(crate) fn end(&mut self) -> Outcome<()> {
        let outcomes = self
            .alive
            .drain(..)
            .map(|container| container.kill_and_delete());
        Ok(outcomes.fold(Ok(()), Result::and)?)
    }
}
