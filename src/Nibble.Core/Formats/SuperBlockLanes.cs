using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Nibble.Core.Formats;

/// <summary>
/// The 8 or 16 groups of a block of 256 weights, side by side in one or two halves of eight groups, and the unit that its
/// weights are measured in.
/// </summary>
internal readonly ref struct SuperBlockLanes
{
    /// <summary>Vectors of memory that a block takes.</summary>
    public const int Vectors = 2 * Weights / GroupLanes.Lanes;

    private const int Weights = 256;

    private readonly Span<Vector256<float>> _lanes;
    private readonly float _unit;

    /// <param name="weights">256 weights.</param>
    /// <param name="importance">As many, or none.</param>
    /// <param name="groupSize">16 or 32.</param>
    /// <param name="memory"><see cref="Vectors"/> vectors.</param>
    public SuperBlockLanes(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, int groupSize, Span<Vector256<float>> memory)
    {
        _lanes = memory;
        _unit = GroupLanes.WeightUnit(weights);
        Halves = Weights / (groupSize * GroupLanes.Lanes);
        float importanceUnit = GroupLanes.ImportanceUnit(importance);
        int part = Weights / Halves;
        for (int h = 0; h < Halves; h++)
            this[h].Transpose(weights.Slice(h * part, part), importance.IsEmpty ? default : importance.Slice(h * part, part), _unit, importanceUnit);
    }

    public int Halves { get; }

    /// <summary>Eight of the groups.</summary>
    public GroupLanes this[int half] => new(_lanes.Slice(half * Vectors / Halves, Vectors / Halves));

    /// <summary>What a number of this unit becomes when it is stored in 16 bits and read back.</summary>
    public float Stored(float value) => (float)ToHalf(value) * _unit;

    /// <summary>A number of this unit, as the block stores it.</summary>
    public Half ToHalf(float value) => IntegerCodes.ToHalf(value / _unit);
}

/// <summary>One number a group of a block of up to 16 groups.</summary>
[InlineArray(2)]
internal struct PerGroup
{
    private Vector256<float> _first;

    public readonly float Of(int group) => this[group / GroupLanes.Lanes][group % GroupLanes.Lanes];
}
