using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Quantization.Recipes;

/// <summary>One way to store a tensor: what it takes, and what it is expected to cost the model.</summary>
/// <param name="Format">How it is stored.</param>
/// <param name="Bytes">Of the tensor's data.</param>
/// <param name="Divergence">The mean KL divergence that it adds, in nats.</param>
public sealed record StorageChoice(Format Format, long Bytes, double Divergence);

/// <summary>
/// Spends a number of bytes on the tensors of a model so that the sum of what each costs is least: a knapsack with one
/// choice a tensor. Of each tensor's choices only the lower convex hull is climbed, the steepest step of all first, which is
/// optimal but for the last step (Sinha and Zoltners, 1979); what is left over then goes to the best step that still fits.
/// </summary>
public static class Budget
{
    /// <param name="tensors">The choices of each tensor; at least one each.</param>
    /// <param name="bytes">The most that all may take together.</param>
    /// <returns>The choice of each tensor.</returns>
    /// <exception cref="UnusableInputException">Not even the smallest choices fit.</exception>
    public static StorageChoice[] Spend(IReadOnlyList<StorageChoice[]> tensors, long bytes)
    {
        StorageChoice[][] hulls = [.. tensors.Select(Hull)];
        var at = new int[hulls.Length];
        long spent = hulls.Sum(h => h[0].Bytes);
        if (spent > bytes) throw new UnusableInputException($"the smallest formats take {spent} bytes, more than the {bytes} that are left for the matrices; allow more");
        while (Steepest(hulls, at, bytes - spent) is { } tensor)
        {
            spent += hulls[tensor][at[tensor] + 1].Bytes - hulls[tensor][at[tensor]].Bytes;
            at[tensor]++;
        }
        return [.. hulls.Zip(at, (hull, i) => hull[i])];
    }

    /// <summary>The tensor whose next step saves most a byte, of those whose step fits in what is left; null if none does.</summary>
    private static int? Steepest(StorageChoice[][] hulls, int[] at, long left)
    {
        int? best = null;
        double most = 0;
        for (int t = 0; t < hulls.Length; t++)
        {
            if (at[t] + 1 == hulls[t].Length) continue;
            (StorageChoice now, StorageChoice next) = (hulls[t][at[t]], hulls[t][at[t] + 1]);
            double saved = (now.Divergence - next.Divergence) / (next.Bytes - now.Bytes);
            if (next.Bytes - now.Bytes > left || saved <= most) continue;
            (best, most) = (t, saved);
        }
        return best;
    }

    /// <summary>The choices that no mix of two others beats, by size.</summary>
    private static StorageChoice[] Hull(StorageChoice[] choices)
    {
        var hull = new List<StorageChoice>();
        foreach (StorageChoice choice in choices.OrderBy(c => c.Bytes).ThenBy(c => c.Divergence))
        {
            if (hull.Count > 0 && (choice.Divergence >= hull[^1].Divergence || choice.Bytes == hull[^1].Bytes)) continue;
            while (hull.Count > 1 && Slope(hull[^2], hull[^1]) <= Slope(hull[^1], choice)) hull.RemoveAt(hull.Count - 1);
            hull.Add(choice);
        }
        return [.. hull];
    }

    /// <summary>What a byte saves between two choices.</summary>
    private static double Slope(StorageChoice a, StorageChoice b) => (a.Divergence - b.Divergence) / (b.Bytes - a.Bytes);
}
