"""Why does it not learn? `diagnose(model, batch, loss_fn, optimizer)` says so; the rest is what it is made of."""
from tinytorch.diagnosis.case import Case
from tinytorch.diagnosis.compare import first_difference, sweep
from tinytorch.diagnosis.data import examine_data
from tinytorch.diagnosis.examine import diagnose
from tinytorch.diagnosis.faults import CATALOGUE, Finding, Report
from tinytorch.diagnosis.forward import examine_forward
from tinytorch.diagnosis.graph import examine_backward, examine_graph
from tinytorch.diagnosis.learning import examine_learning, examine_update
from tinytorch.diagnosis.loss import examine_loss
