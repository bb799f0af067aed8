namespace Nibble.Core.Formats;

/// <summary>
/// The importance of the weights of one vector, tempered: a part of their mean is added to each. A weight that does not
/// matter at all would otherwise take any value, since one code holds it together with those that do.
/// </summary>
internal static class VectorImportance
{
    private const float Floor = 0.05f;

    /// <param name="importance">Of the block, or empty.</param>
    /// <param name="at">Where the vector begins.</param>
    /// <param name="tempered">Takes as many numbers as the vector has weights.</param>
    /// <returns><paramref name="tempered"/>, or empty where no weight matters.</returns>
    public static ReadOnlySpan<float> Temper(ReadOnlySpan<float> importance, int at, Span<float> tempered)
    {
        if (importance.IsEmpty) return default;
        float sum = 0;
        for (int j = 0; j < tempered.Length; j++) sum += importance[at + j];
        if (!(sum > 0) || !float.IsFinite(sum)) return default;
        for (int j = 0; j < tempered.Length; j++) tempered[j] = importance[at + j] + Floor * sum / tempered.Length;
        return tempered;
    }
}
