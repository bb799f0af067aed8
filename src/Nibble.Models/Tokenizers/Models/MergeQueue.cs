namespace Nibble.Models.Tokenizers.Models;

/// <summary>
/// Merges neighbours in the order of rank, then place. A queue of candidates over a linked list, so that a piece of n
/// characters takes n log n steps: SentencePiece's pieces are whole texts.
/// </summary>
internal readonly struct MergeQueue(Dictionary<long, BytePairModel.Merge> merges)
{
    private const int None = -1;

    private struct Symbol
    {
        public int Id, Previous, Next;
    }

    /// <summary>Appends what is left of the symbols when nothing can be merged.</summary>
    public void Run(List<int> ids, List<int> merged)
    {
        if (ids.Count == 0) return;
        Symbol[] symbols = new Symbol[ids.Count];
        for (int i = 0; i < symbols.Length; i++) symbols[i] = new Symbol { Id = ids[i], Previous = i - 1, Next = i + 1 };
        symbols[^1].Next = None;
        var queue = new PriorityQueue<(int At, int Id), long>(symbols.Length);
        for (int i = 0; i + 1 < symbols.Length; i++) Offer(queue, symbols, i);
        while (queue.TryDequeue(out (int At, int Id) candidate, out _)) Apply(queue, symbols, candidate.At, candidate.Id);
        // The first symbol is never merged away, only grown.
        for (int i = 0; i != None; i = symbols[i].Next) merged.Add(symbols[i].Id);
    }

    private void Offer(PriorityQueue<(int At, int Id), long> queue, Symbol[] symbols, int at)
    {
        if (merges.TryGetValue(BytePairModel.Pair(symbols[at].Id, symbols[symbols[at].Next].Id), out BytePairModel.Merge merge))
            queue.Enqueue((at, merge.Id), ((long)merge.Rank << 32) | (uint)at);
    }

    private void Apply(PriorityQueue<(int At, int Id), long> queue, Symbol[] symbols, int at, int id)
    {
        ref Symbol left = ref symbols[at];
        // A candidate is stale when one of its two symbols has changed since.
        if (left.Id == None || left.Next == None
            || !merges.TryGetValue(BytePairModel.Pair(left.Id, symbols[left.Next].Id), out BytePairModel.Merge merge) || merge.Id != id) return;
        ref Symbol right = ref symbols[left.Next];
        left.Id = id;
        left.Next = right.Next;
        right.Id = None;
        if (left.Next != None)
        {
            symbols[left.Next].Previous = at;
            Offer(queue, symbols, at);
        }
        if (left.Previous != None) Offer(queue, symbols, left.Previous);
    }
}
