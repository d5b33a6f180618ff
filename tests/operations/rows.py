"""All rows of the table: those of the Tensor itself, and those of nn."""
from operations import table, table_later, table_nn, table_vocabulary

ROWS = [
    *table.ELEMENTWISE, *table.REDUCTIONS, *table.PRODUCTS, *table.SHAPES, *table.INDEXING,
    *table_nn.ACTIVATIONS, *table_nn.LAYERS, *table_nn.LOSSES, *table_nn.ATTENTION, *table_nn.FUSED,
    *table_nn.CONVOLUTION, *table_vocabulary.VOCABULARY, *table_later.QUANTIZATION, *table_later.DISTRIBUTED,
]

CASES = list(table.numbered(case for row in ROWS for case in row.cases()))
LARGE_CASES = list(table.numbered(table.Case(row, row.large, options) for row in ROWS if row.large and row.parity
                                  for options in row.options))
