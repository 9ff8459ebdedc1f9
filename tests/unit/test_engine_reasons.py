"""What is told when a Pulumi command fails: why, however much the stack has to say besides."""

from rehearsal.engine import SHOWN_CHARACTERS, _reasons


def test_the_reasons_are_told_and_long_outputs_do_not_push_them_out() -> None:
    outputs = "\n".join(f"  - output {number}" for number in range(SHOWN_CHARACTERS))
    text = f"Updating\n\nDiagnostics:\n  role failed: cannot pull the image\n\nOutputs:\n{outputs}\nDuration: 1s"
    assert _reasons(text).strip() == "role failed: cannot pull the image"


def test_a_command_without_diagnostics_tells_the_end_of_what_it_printed() -> None:
    assert _reasons("a" * SHOWN_CHARACTERS + "no such stack").endswith("no such stack")
