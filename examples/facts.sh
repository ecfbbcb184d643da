# Facts of an example that its script finds to be so or not: sourced by the scripts, which say `say_facts` at their end.
# Output of a command goes to the folder `$work`.

passed=0 failed=0
fact() { # NAME COMMAND…
    local name="$1"
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
        printf 'ok      %s\n' "$name"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$name"
        sed 's/^/        /' "$work/out"
    fi
}
say_facts() { # ends with failure where there is one
    printf '%d passed, %d failed, 0 skipped\n' "$passed" "$failed"
    [ "$failed" = 0 ]
}
