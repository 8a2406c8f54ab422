//! `nsrun sandbox --tty` on a terminal that the test has made.

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::LocalFlags;
use nix::unistd::Pid;
use ns_tests::{Pty, Running, Test, variants, wait_for_orphans};

variants![
    window_size_is_the_callers,
    window_size_follows_the_callers,
    name_of_the_terminal_is_inside,
    typed_text_and_keys_reach_the_command,
    terminal_is_raw_while_it_runs_and_put_back_after,
    terminal_is_put_back_when_the_command_is_killed,
    terminal_is_put_back_when_nsrun_is_terminated,
    terminal_is_put_back_when_the_start_fails,
    output_is_not_lost_at_the_end,
    hang_up_ends_the_command,
    session_of_the_caller_stays_outside,
];

/// Runs a script with the terminal as that of its own session, as a login does.
fn spawn(test: &Test, pty: &Pty, script: &str) -> Running {
    let arguments = ["sandbox", "--tty", "--", "sh", "-c", script];
    let invocation = test.nsrun_under(&["setsid", "--ctty"], arguments);
    invocation.stdin(pty.end()).stdout(pty.end()).spawn()
}

fn window_size_is_the_callers(test: &Test) {
    let mut pty = Pty::new(33, 99);
    let running = spawn(test, &pty, "stty size; stty size < /dev/tty");
    pty.read_until("33 99\r\n33 99\r\n");
    assert_eq!(running.wait().text(), "");
}

fn window_size_follows_the_callers(test: &Test) {
    let mut pty = Pty::new(33, 99);
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 1000 & wait; done";
    let running = spawn(test, &pty, script);
    pty.read_until("ready");
    pty.resize(44, 111);
    pty.read_until("44 111");
    assert_eq!(running.wait().text(), "");
}

fn name_of_the_terminal_is_inside(test: &Test) {
    let mut pty = Pty::new(24, 80);
    let running = spawn(
        test,
        &pty,
        "tty; test -t 0 && test -t 1 && test -t 2 && echo all three",
    );
    let shown = pty.read_until("all three");
    assert!(
        ["/dev/pts/0\r\n", "/dev/console\r\n"]
            .into_iter()
            .any(|name| shown.contains(name)),
        "{shown:?}"
    );
    assert_eq!(running.wait().text(), "");
}

fn typed_text_and_keys_reach_the_command(test: &Test) {
    let mut pty = Pty::new(24, 80);
    let script = "trap 'echo interrupted; exit 3' INT; echo ready; read line; echo \"got $line\"; \
                  while :; do sleep 1000 & wait; done";
    let running = spawn(test, &pty, script);
    pty.read_until("ready");
    pty.type_in("some text\r");
    pty.read_until("got some text");
    pty.type_in("\x03");
    pty.read_until("interrupted");
    assert_eq!(running.wait().code, 3);
}

fn terminal_is_raw_while_it_runs_and_put_back_after(test: &Test) {
    let mut pty = Pty::new(24, 80);
    let before = pty.settings();
    let running = spawn(test, &pty, "echo ready; read line; exit 4");
    pty.read_until("ready");
    let raw = LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG;
    assert!(
        !pty.settings().local_flags.intersects(raw),
        "{:?}",
        pty.settings()
    );
    pty.type_in("\r");
    assert_eq!(running.wait().code, 4);
    assert_eq!(pty.settings(), before);
}

fn terminal_is_put_back_when_the_command_is_killed(test: &Test) {
    let mut pty = Pty::new(24, 80);
    let before = pty.settings();
    let running = spawn(test, &pty, "echo ready; exec sleep 1000");
    pty.read_until("ready");
    kill(only_child(&running), Signal::SIGKILL).expect("kill the command");
    assert_eq!(running.wait().code, 137);
    assert_eq!(pty.settings(), before);
}

fn only_child(running: &Running) -> Pid {
    let pid = running.pid();
    let children =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("children");
    Pid::from_raw(children.trim().parse().expect("one child"))
}

fn terminal_is_put_back_when_nsrun_is_terminated(test: &Test) {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        let mut pty = Pty::new(24, 80);
        let before = pty.settings();
        let running = spawn(test, &pty, "echo ready; exec sleep 1000");
        pty.read_until("ready");
        running.signal(signal);
        assert_eq!(running.wait().code, 128 + signal as i32);
        assert_eq!(pty.settings(), before, "{signal}");
    }
}

fn terminal_is_put_back_when_the_start_fails(test: &Test) {
    let pty = Pty::new(24, 80);
    let before = pty.settings();
    let invocation = test.nsrun(["sandbox", "--tty", "--", "no-such-command"]);
    let output = invocation.stdin(pty.end()).stdout(pty.end()).run();
    output.assert_error(127, &["no-such-command"]);
    assert_eq!(pty.settings(), before);
}

fn output_is_not_lost_at_the_end(test: &Test) {
    let mut pty = Pty::new(24, 80);
    let running = spawn(test, &pty, "seq 1 30000; echo the end");
    let shown = pty.read_until("the end\r\n");
    let numbers: Vec<usize> = shown.lines().map_while(|line| line.parse().ok()).collect();
    assert_eq!(numbers, (1..=30_000).collect::<Vec<_>>());
    assert_eq!(running.wait().text(), "");
}

fn hang_up_ends_the_command(test: &Test) {
    let mut pty = Pty::new(24, 80);
    let running = spawn(test, &pty, "echo ready; exec sleep 1000");
    pty.read_until("ready");
    drop(pty);
    assert_eq!(running.wait().code, 129);
    wait_for_orphans();
}

fn session_of_the_caller_stays_outside(test: &Test) {
    let mut pty = Pty::new(24, 80);
    // Session, controlling terminal and foreground group (proc_pid_stat(5)): all the command's own.
    let running = spawn(
        test,
        &pty,
        "cut -d' ' -f6,8 /proc/$$/stat; echo x > /dev/tty; echo the end",
    );
    let shown = pty.read_until("the end");
    let first = shown.lines().next().expect("a line");
    assert!(first.starts_with("1 "), "{shown:?}");
    assert_eq!(running.wait().text(), "");
}
