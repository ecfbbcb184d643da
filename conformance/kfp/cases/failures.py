"""What goes wrong: exit codes, signals, programs and images that there are not, memory, retries, and who still runs."""

from kfp import dsl

from _parts import IMAGE, leave, say, shell, sleep


@dsl.pipeline(name="exit-code")
def exit_code():
    leave(code=7)


@dsl.container_component
def kills_itself():
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", "kill -9 $$"])


@dsl.pipeline(name="killed-by-signal")
def killed_by_signal():
    kills_itself()


@dsl.container_component
def no_such_program():
    return dsl.ContainerSpec(image=IMAGE, command=["no-such-program"], args=["now"])


@dsl.pipeline(name="missing-program")
def missing_program():
    no_such_program()


@dsl.container_component
def no_such_image():
    return dsl.ContainerSpec(image="registry.invalid/no/such:image", command=["true"])


@dsl.pipeline(name="unknown-image")
def unknown_image():
    no_such_image()


@dsl.container_component
def eats():
    return dsl.ContainerSpec(image=IMAGE, command=["python3", "-c", "kept = [bytearray(1 << 20) for _ in range(1024)]"])


@dsl.pipeline(name="out-of-memory")
def out_of_memory():
    eats().set_memory_limit("96Mi").set_memory_request("32Mi")


@dsl.component
def raises():
    raise ValueError("this value is no good")


@dsl.pipeline(name="python-exception")
def python_exception():
    raises()


@dsl.pipeline(name="who-still-runs")
def who_still_runs():
    failed = leave(code=3).set_display_name("fails")
    dependent = shell(script="echo never").after(failed)
    shell(script="echo never either").after(dependent)
    slow = shell(script="sleep 3; echo slow")  # began before the failure: it runs to its end
    slow.set_display_name("slow")


@dsl.component
def tells(status: dsl.PipelineTaskFinalStatus) -> dict:
    return {
        "state": status.state,
        "task": status.pipeline_task_name,
        "resource": status.pipeline_job_resource_name,
    }


@dsl.pipeline(name="exit-handler")
def exit_handler(code: int = 0):
    with dsl.ExitHandler(tells()):
        first = leave(code=code)
        shell(script="echo second").after(first)


@dsl.pipeline(name="exit-handler-fails")
def exit_handler_fails():
    with dsl.ExitHandler(leave(code=4)):
        shell(script="echo body")


@dsl.pipeline(name="exit-handler-of-loop")
def exit_handler_of_loop():
    with dsl.ExitHandler(tells()):
        with dsl.ParallelFor([0, 0, 5]) as code:
            leave(code=code)


@dsl.pipeline(name="exit-handlers-beside")
def exit_handlers_beside():
    with dsl.ExitHandler(say(text="first cleanup")):
        leave(code=1)
    with dsl.ExitHandler(say(text="second cleanup")):
        shell(script="echo fine")
    say(text="free")


@dsl.component
def sums(a: int, b: int) -> int:
    raise RuntimeError("no sum")


@dsl.component
def cleans(number: int = 9) -> str:
    return f"cleaned {number}"


@dsl.pipeline(name="ignore-upstream-failure")
def ignore_upstream_failure():
    failed = sums(a=1, b=2)
    cleans(number=failed.output).ignore_upstream_failure()


@dsl.pipeline(name="ignore-upstream-failure-after")
def ignore_upstream_failure_after():
    failed = leave(code=1)
    cleaned = cleans(number=1).after(failed).ignore_upstream_failure()
    shell(script="echo then").after(cleaned)


@dsl.container_component
def third_time(out: dsl.OutputPath(str)):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", 'echo "attempt $KFP_RETRY_INDEX"; test "$KFP_RETRY_INDEX" = 2; mkdir -p "$(dirname "$0")"; printf %s "$KFP_RETRY_INDEX" >"$0"'], args=[out])


@dsl.pipeline(name="retry-until-it-works")
def retry_until_it_works():
    third_time().set_retry(num_retries=4, backoff_duration="1s", backoff_factor=1.0)


@dsl.pipeline(name="retry-in-vain")
def retry_in_vain():
    leave(code=5).set_retry(num_retries=2, backoff_duration="0s")


@dsl.pipeline(name="retry-with-backoff")
def retry_with_backoff():
    # 1, 2, 2 seconds: doubled, and no more than two.
    leave(code=6).set_retry(num_retries=3, backoff_duration="1s", backoff_factor=2.0, backoff_max_duration="2s")


@dsl.pipeline(name="to-be-terminated")
def to_be_terminated():
    with dsl.ExitHandler(say(text="cleanup")):
        long = sleep(seconds="300")
        shell(script="echo never").after(long)


@dsl.pipeline(name="deadline-of-run", pipeline_config=dsl.PipelineConfig(active_deadline_seconds=3))
def deadline_of_run():
    sleep(seconds="300")


@dsl.container_component
def stubborn(out: dsl.OutputPath(str)):
    """Leaves a process behind that holds its output open; the step has ended all the same."""
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", 'mkdir -p "$(dirname "$0")"; printf done >"$0"; sleep 600 & exit 0'], args=[out])


@dsl.pipeline(name="lingering-child")
def lingering_child():
    stubborn()


@dsl.container_component
def talks():
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-c", "head -c 50000000 /dev/zero | tr '\\0' x | fold -w 200; echo; echo the end"])


@dsl.pipeline(name="long-log")
def long_log():
    talks().set_caching_options(False)


@dsl.container_component
def points_outside(data: dsl.Output[dsl.Dataset]):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", 'mkdir -p "$(dirname "$0")"; ln -s /etc/passwd "$0"'], args=[data.path])


@dsl.pipeline(name="artifact-that-leads-outside")
def artifact_that_leads_outside():
    points_outside()


@dsl.container_component
def any_number(out: dsl.OutputPath(str), codes: dsl.OutputPath(int)):
    return dsl.ContainerSpec(image=IMAGE, command=["sh", "-ec", 'mkdir -p "$(dirname "$0")"; printf x >"$0"; exit 9'], args=[out, codes])


@dsl.pipeline(name="outputs-of-a-failure-are-void")
def outputs_of_a_failure_are_void():
    any_number()
