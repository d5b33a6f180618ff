"""How a submission is graded that nobody trusts: its cells run in a sandbox, what the checks assert is decided outside.

    checks.py    turns a check into questions: what to send out of the sandbox, and what must be true of it
    plain.py     values as plain data, on their way out
    process.py   inside the sandbox: runs the cells, sends the values, knows no answer
    sandbox.py   the sandbox itself, which is bubblewrap's, and its limits
    session.py   outside: plays a notebook to the process, and judges
    nbgrader.py  nbgrader's step that executes a notebook, by a session
"""
