"""`tito dev site`: pages made from the notebooks, the documents and real runs; Zensical turns them into HTML."""
