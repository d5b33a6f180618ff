"""The capstone: a model of the student's choice within a budget, and a judge who believes only what he measured."""
