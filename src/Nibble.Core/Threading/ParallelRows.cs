namespace Nibble.Core.Threading;

/// <summary>Splits a range among workers in contiguous shares.</summary>
public static class ParallelRows
{
    /// <summary>The rows of a worker's share; shares are multiples of <paramref name="multiple"/> but for the last.</summary>
    public static (int From, int To) Share(int rows, int worker, int workers, int multiple = 1)
    {
        int tiles = (rows + multiple - 1) / multiple;
        int from = (int)((long)tiles * worker / workers) * multiple;
        int to = (int)((long)tiles * (worker + 1) / workers) * multiple;
        return (Math.Min(from, rows), Math.Min(to, rows));
    }
}
