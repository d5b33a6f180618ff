"""A step of nbgrader's feedback: what students get back shows no hidden tests."""

import re

from nbgrader.preprocessors import NbGraderPreprocessor

HIDDEN = re.compile(r"^[ \t]*### BEGIN HIDDEN TESTS\b.*?^[ \t]*### END HIDDEN TESTS[^\n]*\n?", re.DOTALL | re.MULTILINE)
LEFT_OUT = "# hidden tests are left out here\n"
FAILED = "this check failed; its message is left out, for it may quote a hidden test"


class LeaveOutHiddenTests(NbGraderPreprocessor):
    """Takes hidden tests out of graded cells, and out of the errors that quote them."""

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type == "code" and HIDDEN.search(cell.source):
            cell.source = HIDDEN.sub(LEFT_OUT, cell.source)
            cell.outputs = [without_quotes(output) for output in cell.outputs]
        return cell, resources


def without_quotes(output):
    """An output, without what an error quotes."""
    if output.output_type == "error":
        output.evalue, output.traceback = FAILED, [f"{output.ename}: {FAILED}"]
    return output
