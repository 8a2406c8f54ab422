#!/bin/sh
# Follows README's two commands in a clean clone, as a newcomer would: as root when we are root, and as a plain user.
#
#   tests/newcomer.sh [--quick]      --quick: the first command alone, which takes minutes; the second takes many
#
# Ends with 0 when every command that could be tried did what README says, with 1 when one did not. What cannot be tried
# is said in a line that begins with SKIP. Everything is made in one temporary directory and removed at the end.
set -eu

PLAIN=65533
here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
quick=no
[ "${1:-}" = --quick ] && quick=yes

# A toolchain below /root is out of a plain user's reach: in a mount namespace of our own it is shown elsewhere too.
if [ "$(id -u)" = 0 ] && [ -z "${NEWCOMER_INSIDE:-}" ]; then
    NEWCOMER_INSIDE=1 exec unshare --mount --propagation private -- sh "$0" "$@"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/ns-newcomer-XXXXXX")
toolchain_mount=
cleanup() {
    [ -z "$toolchain_mount" ] || umount "$toolchain_mount"
    rm -rf -- "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work"

# The words of README between the fences, without their comments; exactly two.
readme_command() {
    sed -n '/^```sh$/,/^```$/p' "$here/README.md" | grep '^cargo ' | sed 's/  *#.*$//' | sed -n "$1p"
}
first=$(readme_command 1)
second=$(readme_command 2)
case "$first" in 'cargo run --release '*) ;; *) echo "FAIL README's first command is: $first"; exit 1 ;; esac
[ "$second" = 'cargo xtask ci' ] || { echo "FAIL README's second command is: $second"; exit 1; }

sysroot=$(cd "$here" && rustc --print sysroot) || { echo "SKIP newcomer: no Rust toolchain"; exit 0; }

# $1: root or plain.  $2...: what runs a command as that user.
newcomer() {
    who=$1
    shift
    home=$work/$who
    mkdir "$home" "$home/cargo"
    # The machine's way to the registry, nothing else of its settings.
    for config in "${CARGO_HOME:-$HOME/.cargo}/config.toml" "${CARGO_HOME:-$HOME/.cargo}/config"; do
        [ ! -r "$config" ] || cp "$config" "$home/cargo/config.toml"
    done
    git clone --quiet --no-hardlinks "$here" "$home/main"
    [ "$who" = root ] || [ "$(id -u)" != 0 ] || chown -R "$PLAIN:$PLAIN" "$home"
    as="env -i HOME=$home CARGO_HOME=$home/cargo PATH=$toolchain/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    as="$as TERM=dumb LANG=C.UTF-8"
    for name in http_proxy https_proxy HTTPS_PROXY HTTP_PROXY no_proxy NO_PROXY SSL_CERT_FILE CARGO_HTTP_CAINFO; do
        eval "value=\${$name:-}"
        [ -z "$value" ] || as="$as $name=$value"
    done
    # The words are ours and hold no spaces.
    # shellcheck disable=SC2086
    run() { (cd "$home/main" && "$@" </dev/null); }

    echo "== $who: $first"
    code=0
    run "$@" $as sh -c "$first" >"$home/output" 2>"$home/errors" || code=$?
    cat "$home/output"
    if [ "$code" = 0 ] && grep -qx sandbox "$home/output" && grep -q '^uid=' "$home/output" && grep -qx usr "$home/output"
    then
        echo "PASS $who: the first command"
    else
        tail -n 30 "$home/errors"
        echo "FAIL $who: the first command ended with $code"
        failed=1
    fi
    if [ "$quick" = yes ]; then
        echo "SKIP $who: the second command (--quick)"
        return
    fi

    echo "== $who: $second"
    code=0
    run "$@" $as sh -c "$second" >"$home/output" 2>"$home/errors" || code=$?
    last=$(tail -n 1 "$home/output")
    if [ "$code" = 0 ] && echo "$last" | grep -qE '^[0-9]+ passed, 0 failed, [0-9]+ skipped$'; then
        echo "PASS $who: the second command: $last"
    else
        sed -n '/^failed:$/,$p' "$home/output" | grep . || tail -n 30 "$home/errors"
        echo "FAIL $who: the second command ended with $code: $last"
        failed=1
    fi
}

failed=0
toolchain=$sysroot
if [ "$(id -u)" != 0 ]; then
    newcomer plain env
else
    newcomer root env
    if ! command -v setpriv >/dev/null; then
        echo "SKIP plain: no setpriv (package util-linux)"
    else
        toolchain=$work/toolchain
        mkdir "$toolchain"
        if mount --bind "$sysroot" "$toolchain"; then
            toolchain_mount=$toolchain
            newcomer plain setpriv --reuid "$PLAIN" --regid "$PLAIN" --clear-groups --
        else
            echo "SKIP plain: the toolchain $sysroot cannot be shown to a plain user"
        fi
    fi
fi
exit "$failed"
